"""OpenVINO's side of an engine: compiled models, and requests that threads take in turns."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    *("DEVICE", "Compiled", "Request", "has_bfloat16", "imported", "openvino_version"),
    *("processor", "settings"),
]

DEVICE = "CPU"
SMALL = 4096
"""Bytes of an input that are copied into the tensor of the run before: making one takes longer."""


def _binding() -> ModuleType:
    """OpenVINO's compiled module without its package, which would import every operation of every
    version, four times as long as this takes, for building models."""
    name = "openvino"
    if name not in sys.modules and (spec := find_spec(name)) is not None:
        sys.modules[name] = module_from_spec(spec)
        try:
            return import_module("openvino._pyopenvino")
        finally:
            # Who imports the package later gets it whole.
            del sys.modules[name]
    return import_module("openvino._pyopenvino")


ov = _binding()


class Request:
    """One run of a model at a time, with a state of its own."""

    def __init__(self, request: Any) -> None:
        self._request = request
        # OpenVINO's own copy of a shared tensor does not keep its memory alive.
        self._inputs: dict[str, Any] = {}
        self._small: dict[str, NDArray[Any]] = {}

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run it.

        Args:
            inputs: contiguous; all but the smallest are read where they lie. uint16: the bits of
                bfloat16, which numpy does not have.

        Returns:
            The outputs where they lie: the next run overwrites them.
        """
        for name, value in inputs.items():
            self.set(name, value)
        found = self._request.infer({}, share_outputs=True, decode_strings=False)
        # OpenVINO gives bfloat16 as numpy's own type of 16 bits.
        return [one.view(np.uint16) if one.dtype == np.float16 else one for one in found.values()]

    def set(self, name: str, value: NDArray[Any]) -> None:
        """An input that stays for the runs to come."""
        if value.nbytes <= SMALL:
            kept = self._small.get(name)
            if kept is not None and (kept.shape, kept.dtype) == (value.shape, value.dtype):
                kept[...] = value
                return
            value = self._small[name] = np.array(value, order="C")
        else:
            self._small.pop(name, None)
        array = np.ascontiguousarray(value)
        if array.dtype == np.uint16:
            tensor = ov.Tensor(array, ov.Shape(array.shape), ov.Type.bf16)
        else:
            tensor = ov.Tensor(array, shared_memory=True)
        self._request.set_tensor(name, tensor)
        self._inputs[name] = tensor

    def forget(self) -> None:
        """Back to the empty state."""
        self._request.reset_state()


class Compiled:
    """A model on this machine's processor."""

    def __init__(self, model: Any) -> None:
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


def imported(content: bytes, settings: Mapping[str, Any]) -> Compiled:
    """A compiled model that was exported on this processor, by this version.

    Args:
        settings: of `settings`; of the precision that it was compiled with.

    Raises:
        RuntimeError: it was not.
    """
    return Compiled(_core().import_model(content, DEVICE, dict(settings)))


def openvino_version() -> str:
    """With its build: exported models are of one."""
    return str(ov.get_version())


def processor() -> str:
    """What exported models depend on beside OpenVINO's version."""
    core = _core()
    name = core.get_property(DEVICE, "FULL_DEVICE_NAME")
    return f"{name} {' '.join(core.get_property(DEVICE, 'OPTIMIZATION_CAPABILITIES'))}"


@cache
def _core() -> Any:
    """One, which outlives what it has made."""
    return ov.Core()


def has_bfloat16() -> bool:
    """Whether this processor has instructions for it."""
    return "BF16" in _core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")


def settings(threads: int | None, precision: str = "f32") -> dict[str, Any]:
    """OpenVINO's own choice on many processors is bf16, 8 bits for the cache, and one core each."""
    chosen: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "KV_CACHE_PRECISION": precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "ENABLE_CPU_PINNING": False,
        "NUM_STREAMS": 1,
    }
    return chosen if threads is None else {**chosen, "INFERENCE_NUM_THREADS": threads}
