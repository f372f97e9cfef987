"""OpenVINO's side of an engine: compiled models, and requests that threads take in turns."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Importing its converter takes longer than all the rest of it; it does without where there is none.
CONVERTER = "openvino.tools.ovc"
_known = sys.modules.get(CONVERTER)
sys.modules[CONVERTER] = _known  # type: ignore[assignment]
import openvino as ov  # noqa: E402

if _known is None:
    del sys.modules[CONVERTER]

__all__ = ["Compiled", "Request", "compiled", "imported", "processor"]

DEVICE = "CPU"


class Request:
    """One run of a model at a time, with a state of its own."""

    def __init__(self, request: ov.InferRequest) -> None:
        self._request = request
        # OpenVINO's own copy of a shared tensor does not keep its memory alive.
        self._inputs: dict[str, ov.Tensor] = {}

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run it.

        Args:
            inputs: contiguous; they are read where they lie.

        Returns:
            The outputs where they lie: the next run overwrites them.
        """
        for name, value in inputs.items():
            self.set(name, value)
        self._request.infer()
        return [tensor.data for tensor in self._request.output_tensors]

    def set(self, name: str, value: NDArray[Any]) -> None:
        """An input that stays for the runs to come."""
        tensor = ov.Tensor(np.ascontiguousarray(value), shared_memory=True)
        self._request.set_tensor(name, tensor)
        self._inputs[name] = tensor

    def forget(self) -> None:
        """Back to the empty state."""
        self._request.reset_state()


class Compiled:
    """A model on this machine's processor."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._model = model
        self._idle: list[Request] = []

    def take(self) -> Request:
        """A request with an empty state that nobody else has; `give` brings it back."""
        # Both are atomic: threads need no lock.
        try:
            request = self._idle.pop()
        except IndexError:
            return Request(self._model.create_infer_request())
        request.forget()
        return request

    def give(self, request: Request) -> None:
        self._idle.append(request)

    @contextmanager
    def request(self) -> Iterator[Request]:
        """A request for a while."""
        request = self.take()
        try:
            yield request
        finally:
            self.give(request)

    def exported(self) -> bytes:
        """What `imported` reads."""
        content: bytes = self._model.export_model().getvalue()
        return content

    @property
    def attention_is_fused(self) -> bool:
        """Whether every attention over the state has become one operation with it.

        Unfused, it was silently wrong from about the 15th token.
        """
        operations = self._model.get_runtime_model().get_ordered_ops()
        states = sum(_kind(operation) == "MemoryInput" for operation in operations)
        read = sum(
            _kind(port.get_source_output().get_node()) == "MemoryInput"
            for operation in operations
            if _kind(operation) == "ScaledDotProductAttention"
            for port in operation.inputs()
        )
        return states == read > 0


def _kind(operation: ov.Node) -> str:
    return str(operation.get_rt_info()["layerType"].astype(str))


def compiled(model: ov.Model, threads: int | None) -> Compiled:
    """Compile a model."""
    return Compiled(_core().compile_model(model, DEVICE, _settings(threads)))


def imported(content: bytes, threads: int | None) -> Compiled:
    """A compiled model that was exported on this processor, by this version.

    Raises:
        RuntimeError: it was not.
    """
    return Compiled(_core().import_model(content, DEVICE, _settings(threads)))


def processor() -> str:
    """What exported models depend on beside OpenVINO's version."""
    core = _core()
    name = core.get_property(DEVICE, "FULL_DEVICE_NAME")
    return f"{name} {' '.join(core.get_property(DEVICE, 'OPTIMIZATION_CAPABILITIES'))}"


@cache
def _core() -> ov.Core:
    """One, which outlives what it has made."""
    return ov.Core()


def _settings(threads: int | None) -> dict[str, Any]:
    """OpenVINO's own choice on many processors is bf16, 8 bits for the cache, and one core each."""
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "ENABLE_CPU_PINNING": False,
        "NUM_STREAMS": 1,
    }
    return settings if threads is None else {**settings, "INFERENCE_NUM_THREADS": threads}
