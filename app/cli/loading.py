"""The checkpoint that a command reads with, loaded while the rest is imported."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from app.threads import use_threads
from model.checkpoint_folder import EMBEDDED
from model.engine.load import EngineOptions, Loaded, engine_name, load_engine, precision_name

__all__ = ["start_loading"]


def start_loading(
    model: Path | None, engine: str, device: str, threads: int | None, precision: str
) -> Future[Loaded]:
    """Args as the options --model, --engine, --device, --threads and --precision have them.

    OpenVINO lets Python run while it loads, and what writes reports is a lot of Python.

    Raises:
        ConfigError: an option that cannot be; what loading raises, the result does.
    """
    options = EngineOptions(
        engine_name(engine), device, use_threads(threads), precision_name(precision)
    )
    pool = ThreadPoolExecutor(1)
    loading = pool.submit(load_engine, model or EMBEDDED, options)
    pool.shutdown(wait=False)
    return loading
