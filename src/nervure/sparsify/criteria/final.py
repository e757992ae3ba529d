"""Scores of a network's outputs, which iSparse pushes back (spec isparse, 2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.features.inf_fs import MOST, inf_fs
from nervure.features.pca import pca_scores
from nervure.objectives.call import answer
from nervure.observe.absolute import outputs_of
from nervure.observe.borrowed import borrowed
from nervure.observe.summary import flat

__all__ = ["Initial", "check_count", "final_scores", "responses"]

Initial = Literal["inf-fs", "identity", "pca"]

# Beside the largest score nothing, and yet not zero: edges to an output of no account keep their order.
_LEAST = 1e-12


def check_count(outputs: int, initial: Initial) -> None:
    """Refuse more outputs than ``initial`` can compare, before memory is taken.

    >>> check_count(12288, "inf-fs")
    Traceback (most recent call last):
    nervure.errors.InputError: initial='inf-fs' compares at most 4096 outputs, and these are 12288; give ...
    """
    if initial == "inf-fs" and outputs > MOST:
        raise InputError(
            f"initial='inf-fs' compares at most {MOST} outputs, and these are {outputs}; give initial='identity'"
        )


def final_scores(responses: Tensor, initial: Initial = "inf-fs", alpha: float = 0.5) -> Tensor:
    """(outputs,) float64 scores above 0 of ``responses`` (samples, outputs); ones for one or two outputs.

    Of two outputs of a softmax each is the other's mirror image, so nothing can tell them apart.

    >>> final_scores(torch.eye(2)), final_scores(torch.ones(4, 3), "pca")
    (tensor([1., 1.], dtype=torch.float64), tensor([1., 1., 1.], dtype=torch.float64))
    """
    count = responses.shape[1]
    if initial == "identity" or count < 3:
        return torch.ones(count, dtype=torch.float64)
    check_count(count, initial)
    columns = responses.to(torch.float64).numpy()
    scores = torch.from_numpy(inf_fs(columns, alpha) if initial == "inf-fs" else pca_scores(columns))
    largest = float(scores.max())
    return scores.clamp(min=_LEAST * largest) if largest > 0 else torch.ones(count, dtype=torch.float64)


def responses(net: nn.Module, batches: Iterable[Batch], samples: int | None, *, softmax: bool = True) -> list[Tensor]:
    """What each output of ``net`` gives for up to ``samples`` samples: (samples, outputs), means over positions.

    >>> net = nn.Linear(2, 3)
    >>> responses(net, [Batch(torch.ones(4, 2), None, torch.arange(4))], 3)[0].shape
    torch.Size([3, 3])
    """
    found: list[list[Tensor]] = []
    seen = 0
    with borrowed(net) as device, torch.inference_mode():
        for batch in batches:
            x = batch.x if samples is None else batch.x[: samples - seen]
            seen += len(x)
            part = Batch(x, None, batch.index[: len(x)], None if batch.mask is None else batch.mask[: len(x)])
            found.append([_one(out, softmax) for out in outputs_of(answer(net, part.to(device)))])
            if samples is not None and seen >= samples:
                break
    if not found:
        raise InputError("no samples to see the outputs of; the loader is empty")
    joined = [torch.cat(parts) for parts in zip(*found, strict=True)]
    if not all(bool(one.isfinite().all()) for one in joined):
        raise InputError("the network's outputs are NaN or infinite; train it anew, or look at its weights")
    return joined


def _one(out: Tensor, softmax: bool) -> Tensor:
    if out.ndim < 2:
        raise InputError(f"an output of shape {tuple(out.shape)}; scores need (samples, outputs, ...)")
    wide = flat(out.to(torch.float32))
    return (wide.softmax(1) if softmax else wide).mean(2).cpu()
