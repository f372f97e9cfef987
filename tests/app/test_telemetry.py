"""Traces of requests: their steps, the client's trace, and nothing of a patient."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from material import PATIENT

from app.main import create_app
from app.settings import Settings
from app.telemetry import Telemetry
from model.generator import ReportGenerator

pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry is not installed")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced(tiny_generator: ReportGenerator) -> tuple[TestClient, Any, Any]:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(tracers, MeterProvider([reader]))
    return TestClient(create_app(Settings(), tiny_generator, telemetry)), exporter, reader


def test_a_request_is_a_trace_with_its_steps(
    traced: tuple[TestClient, Any, Any], make_dicom: Callable
) -> None:
    client, exporter, reader = traced
    answer = client.post(
        "/v1/reports", files={"files": make_dicom()}, headers={"traceparent": PARENT}
    )
    assert answer.status_code == 201
    spans = {span.name: span for span in exporter.get_finished_spans()}
    root = spans.pop("POST /v1/reports")
    assert set(spans) == {"decode", "queue", "generate", "maps"}
    assert f"{root.context.trace_id:032x}" in PARENT and f"{root.parent.span_id:016x}" in PARENT
    assert root.attributes["http.response.status_code"] == 201
    for span in spans.values():
        assert span.parent.span_id == root.context.span_id
        assert root.start_time <= span.start_time <= span.end_time
    assert spans["decode"].end_time <= spans["queue"].start_time
    assert spans["queue"].end_time == spans["generate"].start_time
    [metric] = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    assert metric.name == "crossray.step.duration"
    steps = {point.attributes["crossray.step"]: point.count for point in metric.data.data_points}
    assert steps == dict.fromkeys(spans, 1)


def test_nothing_of_a_patient_or_a_question_is_in_a_trace(
    traced: tuple[TestClient, Any, Any], make_dicom: Callable
) -> None:
    client, exporter, _ = traced
    given = {"files": ("DOE^JANE.dcm", make_dicom())}
    assert client.post("/v1/questions", files=given, data={"phrase": "effusion"}).is_success
    refused = client.post("/v1/reports", files={"files": ("DOE^JANE.dcm", b"JANE, no image")})
    assert refused.status_code == 415
    client.get("/JANE")
    spans = exporter.get_finished_spans()
    assert len(spans) > 5
    text = " ".join(span.to_json() for span in spans)
    for word in (*map(str, PATIENT.values()), "JANE", "effusion"):
        assert word not in text


def test_without_an_endpoint_nothing_is_traced(
    tiny_generator: ReportGenerator, make_png: Callable
) -> None:
    app = create_app(Settings(), tiny_generator)
    assert app.state.service.telemetry.tracer is None
    assert TestClient(app).post("/v1/reports", files={"files": make_png()}).status_code == 201


def test_the_exporter_is_made_where_an_endpoint_is_set(tiny_generator: ReportGenerator) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="it is not installed")
    app = create_app(Settings(otlp_endpoint="http://127.0.0.1:1"), tiny_generator)
    assert app.state.service.telemetry.tracer is not None
