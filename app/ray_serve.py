"""The service as a Ray Serve deployment: the same API, replicas by the load.

    serve run app.ray_serve:application min=1 max=8

Settings are the CROSSRAY_ variables of the environment in which Ray's nodes were started. Each
replica is one service with its own model; those that keep studies share a store on PostgreSQL and
a folder that all nodes have.
"""

from collections.abc import Mapping
from typing import Any

from app.logs import configure_logging
from app.main import create_app
from app.settings import load_settings
from model.errors import ConfigError

__all__ = ["application"]

CPUS = 2
"""Of a replica: one for the model, one for the processes that decode."""
GOAL = 4
"""Requests in a replica, on average, that more replicas are started above."""


def application(arguments: Mapping[str, str]) -> Any:
    """What `serve run` deploys.

    Args:
        arguments: `min` and `max`, the number of replicas; 1 and 8 where not given.

    Raises:
        ConfigError: Ray Serve is not installed, or a number or setting is none.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise ConfigError("this needs Ray Serve: pip install 'crossray[serve]'") from error
    least, most = _number(arguments, "min", 1), _number(arguments, "max", 8)
    if not 1 <= least <= most:
        raise ConfigError(f"min={least} max={most}: expected 1 <= min <= max")
    settings = load_settings()
    deployment = serve.deployment(
        name="crossray",
        # One more than the queue holds, which the service itself then refuses as it does elsewhere.
        max_ongoing_requests=settings.queue + 2,
        autoscaling_config={
            "min_replicas": least,
            "max_replicas": most,
            "target_ongoing_requests": GOAL,
        },
        graceful_shutdown_timeout_s=settings.stop_seconds,
        ray_actor_options={
            "num_cpus": CPUS,
            "num_gpus": 0 if settings.device in ("cpu", "mps") else 1,
        },
    )
    return deployment(serve.ingress(_build)()).bind()


def _number(arguments: Mapping[str, str], name: str, default: int) -> int:
    text = str(arguments.get(name, default))
    if not text.isdecimal():
        raise ConfigError(f"{name}={text!r}: expected a number of replicas")
    return int(text)


def _build() -> Any:
    """The application of one replica, its model loaded: before, the replica takes no request.

    Raises:
        CrossRayError: the model cannot be loaded.
    """
    configure_logging()
    app = create_app(load_settings())
    service = app.state.service
    service.load()
    if service.failure is not None:
        raise service.failure
    return app
