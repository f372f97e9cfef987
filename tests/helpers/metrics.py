"""A value of /metrics, of a service under test."""

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["metric"]


def metric(client: TestClient, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics").text)
    [value] = [
        sample.value
        for family in families
        for sample in family.samples
        if (sample.name, sample.labels) == (name, labels)
    ]
    return value
