"""Our PyTorch network -> OpenVINO's models of it. Needs both; what runs them needs no torch."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import openvino as ov
import torch
from openvino import opset13
from openvino._offline_transformations import apply_make_stateful_transformation
from openvino.tools.ovc import convert_model
from torch import Tensor, nn

from model.anatomy_network import load_anatomy
from model.anatomy_parts import SIZE
from model.engine.cache import MODELS, Entry, SelfTestFailed
from model.engine.config import Precision, described
from model.engine.modules import DecoderModule, ImageModule, sink_of
from model.engine.openvino_engine import model_settings, ready
from model.engine.runtime import DEVICE
from model.engine.self_test import compared
from model.errors import ConfigError
from model.network import ReportModel

__all__ = ["convert_network"]


def convert_network(network: ReportModel, precision: Precision = "f32") -> Entry:
    """Converted, exported as it will be read, and compared with the network.

    Args:
        network: on the CPU, in evaluation mode.

    Raises:
        ConfigError: a precision that needs a package which is not installed.
        SelfTestFailed: it does not compute the same, or not nearly enough.
    """
    try:
        with _quiet(), torch.no_grad():
            decoder = _decoder(network)
            if precision == "int8":
                decoder = _in_8_bits(decoder)
            found = dict(zip(MODELS, (_images(network), decoder, _anatomy()), strict=True))
            core = ov.Core()
            compiled = {
                name: core.compile_model(each, DEVICE, model_settings(name, precision, None))
                for name, each in found.items()
            }
    # OpenVINO and torch's tracing raise these of an operation that they do not know.
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise SelfTestFailed(f"OpenVINO cannot convert it ({str(error)[:100]!r})") from error
    if not _attention_is_fused(compiled["decoder"]):
        raise SelfTestFailed("OpenVINO did not fuse the decoder's attention with its state")
    exported = {name: each.export_model().getvalue() for name, each in compiled.items()}
    sink = b"".join(each.numpy().tobytes() for each in sink_of(network))
    entry = Entry(described(network.config, network.grid, precision), exported, sink, {})
    test = compared(network, *ready(entry, threads=None))
    if test.failures:
        raise SelfTestFailed(
            f"OpenVINO does not compute what PyTorch does: {', '.join(test.failures)}"
        )
    return replace(entry, self_test=test.record)


def _in_8_bits(decoder: ov.Model) -> ov.Model:
    try:
        import nncf
    except ImportError as error:
        raise ConfigError(
            "8-bit weights are made by the package nncf: pip install 'crossray[int8]'"
        ) from error
    nncf.set_log_level(logging.ERROR)
    mode = nncf.CompressWeightsMode.INT8_ASYM
    compressed: ov.Model = nncf.compress_weights(decoder, mode=mode)
    return compressed


def _attention_is_fused(decoder: ov.CompiledModel) -> bool:
    """Whether every attention over the state has become one operation with it.

    Unfused, it was silently wrong from about the 15th token.
    """
    operations = decoder.get_runtime_model().get_ordered_ops()
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


def _images(network: ReportModel) -> ov.Model:
    size = network.config.image_size
    examples = (torch.rand(2, 1, size, size) * 2 - 1, torch.zeros(2, dtype=torch.long))
    model = _named(
        _converted(ImageModule(network), examples),
        ["images", "views"],
        ["distances", *_cross_names(network.config.layers)],
    )
    # Only their number varies: kernels for known shapes are made while loading, and faster.
    model.reshape({"images": ov.PartialShape([-1, 1, size, size]), "views": ov.PartialShape([-1])})
    return model


def _decoder(network: ReportModel) -> ov.Model:
    config = network.config
    studies, rows, count, past, positions = 2, 4, 2, 3, 5
    head_dim = config.width // config.heads
    shapes = {"keys": (head_dim, positions), "values": (positions, head_dim)}
    cross_names, state_names = _cross_names(config.layers), _state_names(config.layers)
    examples = (
        torch.zeros(rows, count, dtype=torch.long),
        torch.arange(count),
        torch.zeros(rows, 1, count, past + count),
        torch.zeros(studies, 1, 1, positions),
        *(torch.rand(studies, config.heads, *shapes[n.split(".")[0]]) for n in cross_names),
        *(torch.rand(rows, config.heads, past, head_dim) for _ in state_names),
    )
    model = _named(
        _converted(DecoderModule(network), examples),
        ["tokens", "places", "mask", "bias", *cross_names, *state_names],
        ["logits", "attention", *(f"present.{name}" for name in state_names)],
    )
    for name in state_names:
        shape = ov.PartialShape([-1, config.heads, -1, head_dim])
        model.input(name).get_node().set_partial_shape(shape)
    _let_rows_be_reordered(model, state_names)
    apply_make_stateful_transformation(model, {name: f"present.{name}" for name in state_names})
    _begin_empty(model, config.heads, head_dim)
    return model


def _anatomy() -> ov.Model:
    examples = (torch.rand(2, 1, SIZE, SIZE),)
    model = _named(_converted(load_anatomy(), examples), ["squares"], ["logits"])
    model.reshape({"squares": ov.PartialShape([-1, 1, SIZE, SIZE])})
    return model


def _cross_names(layers: int) -> list[str]:
    return [f"{kind}.{layer}" for layer in range(layers) for kind in ("keys", "values")]


def _state_names(layers: int) -> list[str]:
    return [f"past_{kind}.{layer}" for layer in range(layers) for kind in ("keys", "values")]


def _converted(module: nn.Module, examples: tuple[Tensor, ...]) -> ov.Model:
    return convert_model(module.eval(), example_input=examples)


def _named(model: ov.Model, inputs: Sequence[str], outputs: Sequence[str]) -> ov.Model:
    for ports, names in ((model.inputs, inputs), (model.outputs, outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    return model


def _let_rows_be_reordered(model: ov.Model, states: Sequence[str]) -> None:
    """A new input `beam_idx` int32 (rows,): row i goes on from the state of row beam_idx[i].

    Its type and the dynamic batch are what lets OpenVINO fuse attention with its cache; with
    others the result was silently wrong from about the 15th token.
    """
    rows = model.input("tokens").get_partial_shape()[0]
    order = opset13.parameter(ov.PartialShape([rows]), ov.Type.i32, name="beam_idx")
    order.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([order])
    for name in states:
        state = model.input(name)
        consumers = state.get_target_inputs()
        gathered = opset13.gather(state, order, opset13.constant(0))
        for consumer in consumers:
            consumer.replace_source_output(gathered.output(0))
    model.validate_nodes_and_infer_types()


def _begin_empty(model: ov.Model, heads: int, head_dim: int) -> None:
    """States begin with as many rows as `tokens` has, and no token."""
    shape = opset13.shape_of(model.input("tokens"), output_type="i64")
    rows = opset13.gather(shape, opset13.constant([0]), opset13.constant(0))
    for operation in model.get_ops():
        if operation.get_type_name() != "ReadValue":
            continue
        begin = opset13.concat([rows, opset13.constant(np.array([heads, 0, head_dim]))], axis=0)
        zero = opset13.constant(0.0, dtype=operation.get_output_element_type(0))
        operation.set_arguments([opset13.broadcast(zero, begin)])
    model.validate_nodes_and_infer_types()


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.jit.trace, which OpenVINO calls, is deprecated and warns of what is constant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
