"""Maps by gradient: what would change the probability of a word, traced back to the image.

A word's own gradient needs a row of its own: in a sum over words, an early word's attention
would also be credited with the later words that read it. So each case is a row of a batch
with its own copy of the study's memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from model.memory import Memory
from model.network import ReportModel, report_model
from training.teacher_forcing import TeacherForced

__all__ = ["grad_cam", "gradient"]

ROWS = 16
"""Cases in one backward pass."""


@dataclass(frozen=True)
class _Traced:
    attention: np.ndarray
    """(cases, patches) of `gradient`."""
    features: np.ndarray
    """(cases, patches) of `grad_cam`."""


def gradient(forced: TeacherForced) -> list[np.ndarray]:
    """Attention times its gradient, what is negative left out, summed over layers.

    The relevance of cross-attention in Chefer et al. 2021, Generic Attention-model Explainability:
    the mean over heads of (gradient x attention)+, of the case's log-probability; without the part
    of it that is passed on by self-attention.
    """
    return [traced.attention for traced in _trace(forced)]


def grad_cam(forced: TeacherForced) -> list[np.ndarray]:
    """Reference: Grad-CAM (Selvaraju et al. 2017) on the encoder's last map.

    Each channel counts by its gradient's mean over the patches; what is negative is left out.
    """
    return [traced.features for traced in _trace(forced)]


@lru_cache(maxsize=1)
def _trace(forced: TeacherForced) -> list[_Traced]:
    """Both maps come from one pass, which is kept until the next batch."""
    return [_trace_study(forced, number) for number in range(len(forced.texts))]


def _trace_study(forced: TeacherForced, number: int) -> _Traced:
    spans = forced.spans[number]
    memory = forced.memory.studies(slice(number, number + 1))
    maps = [
        _trace_rows(
            report_model(forced.model), memory, forced.texts[number].tokens, spans[k : k + ROWS]
        )
        for k in range(0, len(spans), ROWS)
    ]
    if not maps:
        nothing = np.zeros((0, int(memory.patch_mask.sum()) - 1), np.float32)
        return _Traced(nothing, nothing)
    attention, channels = zip(*maps, strict=True)
    return _Traced(np.concatenate(attention), np.concatenate(channels))


@torch.enable_grad()
def _trace_rows(
    model: ReportModel, study: Memory, tokens: list[int], spans: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(cases, patches) of attention and of features; `study` is the memory of one."""
    cases, given = len(spans), study.prompt.shape[1]
    features = study.last_hidden_state[study.patch_mask]
    end = 1 + max(int(span.max()) for span in spans)
    labels = torch.tensor(tokens[:end], device=features.device)
    before = torch.cat((labels.new_tensor([model.config.bos_token_id]), labels[:-1]))
    repeated = features.detach().expand(cases, -1, -1).clone().requires_grad_()
    mask = torch.ones(repeated.shape[:2], dtype=torch.bool, device=repeated.device)
    views, prompt = study.views.expand(cases, -1), study.prompt.expand(cases, -1)
    memory = model.remember(repeated, mask, views, prompt)
    with _gathered(model) as gathered:
        output = model(before.expand(cases, -1), encoder_outputs=memory, output_attentions=True)
    chosen = output.logits.float().log_softmax(-1)[:, torch.arange(end), labels]
    asked = sum(chosen[row, torch.from_numpy(span)].sum() for row, span in enumerate(spans))
    assert isinstance(asked, Tensor)
    *slopes, channels = torch.autograd.grad(asked, (*gathered, repeated))
    relevance = torch.zeros(repeated.shape[:2], device=repeated.device)
    values = memory.cross_values_layers.detach()
    for layer, (slope, attention) in enumerate(zip(slopes, output.cross_attentions, strict=True)):
        for row, span in enumerate(spans):
            at = torch.from_numpy(span)
            # A token's answer is attention times values: so is the gradient, the other way.
            by_head = slope[row, given + at].unflatten(-1, (model.config.heads, -1))
            of_attention = torch.einsum("thd,hpd->htp", by_head, values[row, layer])
            positive = (of_attention * attention[row][:, at].detach()).clamp(min=0)
            relevance[row] += positive.mean(dim=(0, 1))
    weights = channels[:, 1:].mean(dim=1, keepdim=True)
    active = (repeated.detach()[:, 1:] * weights).sum(-1).clamp(min=0)
    return relevance[:, 1:].cpu().numpy(), active.cpu().numpy()


@contextmanager
def _gathered(model: ReportModel) -> Iterator[list[Tensor]]:
    """What each layer's cross-attention gathered, (rows, tokens, width), before it is projected."""
    seen: list[Tensor] = []
    hooks = [
        layer.cross_attention.output.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        for layer in model.decoder.layers
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
