"""A PyTorch network -> OpenVINO's models of it. Needs both; what runs them needs no torch."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import openvino as ov
import torch
from openvino import opset13
from openvino._offline_transformations import apply_make_stateful_transformation
from openvino.frontend import (
    GeneralFailure,
    NotImplementedFailure,
    OpConversionFailure,
    OpValidationFailure,
)
from openvino.preprocess import PrePostProcessor
from openvino.tools.ovc import convert_model
from openvino.tools.ovc.error import Error
from torch import Tensor, nn

from model.anatomy_network import load_anatomy
from model.anatomy_parts import SIZE
from model.engine.config import Precision, described
from model.engine.entry import ANATOMY, RECORD, Entry, SelfTestFailed
from model.engine.imported_modules import ImportedDecoderModule, ImportedImageModule, traceable
from model.engine.modules import DecoderModule, ImageModule
from model.engine.names import CROSS, cross_names, past_names, present_names
from model.engine.openvino_engine import OpenVinoAnatomy, ready
from model.engine.runtime import DEVICE, settings
from model.engine.self_test import ANATOMY_LIMIT, anatomy_difference, compared
from model.engine.sources import DECODER_ONLY
from model.imported.decoder_only import DecoderOnlyNetwork
from model.imported.network import ImportedNetwork
from model.loading import AnyNetwork

__all__ = ["convert_anatomy", "convert_network"]

FAILURES = (
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError),
    *(GeneralFailure, OpConversionFailure, OpValidationFailure, NotImplementedFailure, Error),
)
"""What OpenVINO and torch's tracing raise of an operation that they do not know: OpenVINO's own are
no RuntimeError."""
Images = ImageModule | ImportedImageModule
Tokens = DecoderModule | ImportedDecoderModule


def convert_network(network: AnyNetwork, precision: Precision = "f32") -> Entry:
    """Converted, exported as it will be read, and compared with the network.

    Args:
        network: on the CPU, in evaluation mode.

    Raises:
        SelfTestFailed: it cannot be converted, or does not compute the same, or not nearly enough.
    """
    if isinstance(network, DecoderOnlyNetwork):
        raise SelfTestFailed(DECODER_ONLY)
    images, of_tokens, tracing = _modules(network)
    with _as_failures("convert it"), tracing:
        decoder = _exported("decoder", lambda: _decoder(of_tokens), precision)
    blank = b"".join(_as_stored(each, precision) for each in images.blank())
    models = {"images": _exported("images", lambda: _images(images), precision), "decoder": decoder}
    entry = Entry(described(network, precision), models, blank, {})
    with _as_failures("run what it was converted to"):
        test = compared(network, ready(entry, threads=None))
    if test.failures:
        raise SelfTestFailed(
            f"OpenVINO does not compute what PyTorch does: {', '.join(test.failures)}"
        )
    return replace(entry, self_test=test.record)


def _exported(name: str, make: Callable[[], ov.Model], precision: Precision) -> bytes:
    """One of MODELS, compiled as it will be loaded; nothing else of it stays in memory.

    Raises:
        SelfTestFailed: as `convert_network`.
    """
    with _as_failures("convert it"):
        model = make()
        if precision == "bf16":
            model = _with_cross_in_bfloat16(model)
        compiled = ov.Core().compile_model(model, DEVICE, settings(None, precision))
    if name == "decoder" and not _attention_is_fused(compiled):
        raise SelfTestFailed("OpenVINO did not fuse the decoder's attention with its state")
    content: bytes = compiled.export_model().getvalue()
    return content


def _modules(network: AnyNetwork) -> tuple[Images, Tokens, AbstractContextManager[None]]:
    """What is converted of it, and what its decoder must be traced in."""
    if isinstance(network, ImportedNetwork):
        return ImportedImageModule(network), ImportedDecoderModule(network), traceable(network)
    return ImageModule(network), DecoderModule(network), nullcontext()


def convert_anatomy() -> dict[str, bytes]:
    """The anatomy network, as the cache holds it.

    Raises:
        SelfTestFailed: it cannot be converted, or does not compute the same.
    """
    with _as_failures("convert the anatomy network"):
        examples = {"squares": torch.rand(2, 1, SIZE, SIZE)}
        model = _converted(load_anatomy(), examples, ["logits"])
        model.reshape({"squares": ov.PartialShape([-1, 1, SIZE, SIZE])})
        content = ov.Core().compile_model(model, DEVICE, settings(None)).export_model().getvalue()
    difference = anatomy_difference(OpenVinoAnatomy(content, None))
    if not difference <= ANATOMY_LIMIT:
        raise SelfTestFailed(
            "OpenVINO does not compute what PyTorch does: the anatomy network's logits "
            f"{difference:.3g} (at most {ANATOMY_LIMIT:g})"
        )
    record = {"self_test": {"anatomy": difference}}
    return {ANATOMY: content, RECORD: json.dumps(record, indent=1).encode()}


@contextmanager
def _as_failures(what: str) -> Iterator[None]:
    """FAILURES become SelfTestFailed."""
    try:
        with _quiet(), torch.no_grad():
            yield
    except FAILURES as error:
        message = " ".join(str(error).split())[:100]
        raise SelfTestFailed(f"OpenVINO cannot {what} ({message!r})") from error


def _with_cross_in_bfloat16(model: ov.Model) -> ov.Model:
    """Keys and values of patches cross from the one model to the other as they are computed with:
    a step would convert all of them, a third of its time where many texts are written."""
    crossing = PrePostProcessor(model)
    for ports, of_port in ((model.outputs, crossing.output), (model.inputs, crossing.input)):
        for name in (port.get_any_name() for port in ports):
            if name.startswith(CROSS):
                of_port(name).tensor().set_element_type(ov.Type.bf16)
    built: ov.Model = crossing.build()
    return built


def _as_stored(blank: Tensor, precision: Precision) -> bytes:
    """See Entry."""
    if precision == "bf16":
        blank = blank.bfloat16().view(torch.uint16)
    stored: bytes = blank.contiguous().numpy().tobytes()
    return stored


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


def _images(module: Images) -> ov.Model:
    examples = module.examples()
    layers = module.network.config.layers
    model = _converted(module, examples, ["distances", *cross_names(layers)])
    # Only their number varies: kernels for known shapes are made while loading, and faster.
    model.reshape({name: ov.PartialShape([-1, *each.shape[1:]]) for name, each in examples.items()})
    return model


def _decoder(module: Tokens) -> ov.Model:
    past, present = past_names(module.layers), present_names(module.layers)
    model = _converted(module, module.examples(), ["logits", "attention", *present])
    for name in past:
        shape = ov.PartialShape([-1, module.heads, -1, module.head_dim])
        model.input(name).get_node().set_partial_shape(shape)
    _let_rows_be_reordered(model, past)
    apply_make_stateful_transformation(model, dict(zip(past, present, strict=True)))
    _begin_empty(model, module.heads, module.head_dim)
    return model


def _converted(
    module: nn.Module, examples: Mapping[str, Tensor], outputs: Sequence[str]
) -> ov.Model:
    """Args: examples: its inputs by name, in their order."""
    given = tuple(examples.values())
    # The self-test is what checks it.
    traced = torch.jit.trace(module.eval(), given, check_trace=False)
    model = convert_model(traced, example_input=given)
    for ports, names in ((model.inputs, examples), (model.outputs, outputs)):
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
