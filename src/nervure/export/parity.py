"""The parity gate: a file is a network only if it gives what the network gives, on real samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nervure.data.dataset import WIDE, Batch, Preprocessing, Task
from nervure.errors import InputError, NervureError
from nervure.export.deployed import name_outputs
from nervure.export.formats import Outputs, Runner
from nervure.objectives.call import answer

__all__ = ["Cases", "Difference", "cases", "check", "difference", "disagreement"]


class Difference(NamedTuple):
    """The largest difference, relative to the largest reference value, with its output and sample."""

    value: float
    output: str
    sample: int


class Cases(NamedTuple):
    """What a file is given, (n, ...) float32 and a mask, and what the eager network makes of it at each batch size.

    ``stored`` is the type of the values before they became float32.
    """

    x: Tensor
    mask: Tensor | None
    references: Mapping[int, Outputs]
    stored: torch.dtype = torch.float32


def cases(net: nn.Module, preprocessing: Preprocessing, task: Task, x: Tensor, mask: Tensor | None) -> Cases:
    """The eager network's outputs at batch sizes 1, 3 and all; too few samples are repeated.

    Computed by :class:`Preprocessing` itself and the network, not by what is exported, and from the values as they are
    stored: what float32 loses of large or exact ones is a difference too.

    Examples
    --------
    >>> found = cases(nn.Identity(), Preprocessing(), "none", torch.zeros(5, 2), None)
    >>> {size: outputs["output"].shape[0] for size, outputs in found.references.items()}
    {1: 1, 3: 3, 5: 5}
    """
    if len(x) < 3:
        turn = torch.arange(3) % len(x)
        x, mask = x[turn], None if mask is None else mask[turn]
    references: dict[int, Outputs] = {}
    for size in sorted({1, 3, len(x)}):
        part, part_mask = x[:size], None if mask is None else mask[:size]
        try:
            with torch.inference_mode():
                references[size] = _eager(net, preprocessing, task, part, part_mask)
        except NervureError:
            raise
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(
                f"the network does not run on {size} samples of shape {tuple(x.shape[1:])} ({reason[:160]}); "
                "give samples as stored, in the shape that it was built for"
            ) from error
        for name, value in references[size].items():
            if not bool(torch.isfinite(value).all()):
                raise NervureError(f"the network's {name} holds NaN or infinity on the samples; it is not exported")
    return Cases(x.to(torch.float32), mask, references, x.dtype)


def _eager(net: nn.Module, preprocessing: Preprocessing, task: Task, x: Tensor, mask: Tensor | None) -> Outputs:
    return name_outputs(answer(net, Batch(preprocessing(x, mask), None, torch.arange(len(x)), mask)), task)


def difference(found: Outputs, reference: Outputs) -> Difference:
    """The largest ``|found - reference| / max |reference|`` over all outputs.

    Outputs that are missing, of another shape or NaN differ by infinity; flags count as 0 and 1.

    >>> difference({"output": torch.tensor([[1.0], [4.0]])}, {"output": torch.tensor([[1.0], [2.0]])})
    Difference(value=1.0, output='output', sample=1)
    """
    worst = Difference(0.0, next(iter(reference)), 0)
    for name, wanted in reference.items():
        given = found.get(name)
        if given is None or given.shape != wanted.shape:
            return Difference(float("inf"), name, 0)
        if not wanted.numel():
            continue
        given, wanted = _wide(given), _wide(wanted)
        scale = float(wanted.abs().max()) or 1.0
        gap = torch.atleast_1d((given - wanted).abs().nan_to_num(nan=float("inf")) / scale)
        by_sample = gap.reshape(len(gap), -1).amax(dim=1)
        sample = int(by_sample.argmax())
        if float(by_sample[sample]) > worst.value:
            worst = Difference(float(by_sample[sample]), name, sample)
    return worst


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.complex128 if values.is_complex() else torch.float64)


def disagreement(found: Tensor, reference: Tensor, tolerance: float) -> int | None:
    """The first sample whose class differs although its margin exceeds ``tolerance`` times the scale.

    ``found`` and ``reference`` are (n, classes, ...) logits.

    >>> disagreement(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 1e-4)
    0
    """
    if reference.ndim < 2 or reference.shape[1] < 2:
        return None
    top = reference.topk(2, dim=1).values
    sure = (top[:, 0] - top[:, 1]) > tolerance * float(reference.abs().max())
    other = sure & (found.argmax(dim=1) != reference.argmax(dim=1))
    samples = other.reshape(len(other), -1).any(dim=1).nonzero().flatten()
    return int(samples[0]) if len(samples) else None


def check(runner: Runner, wanted: Cases, form: str, tolerance: float) -> float:
    """Run a file at every batch size; return its largest difference, or raise if it exceeds ``tolerance``.

    >>> net = nn.Linear(2, 1)
    >>> wanted = cases(net, Preprocessing(), "none", torch.ones(1, 2), None)
    >>> check(lambda x, mask: {"output": net(x) + 1e6}, wanted, "doc", 1e-4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    nervure.errors.NervureError: doc: the exported file's output differs from the network's by ...
    """
    largest = 0.0
    for size, reference in wanted.references.items():
        try:
            with torch.inference_mode():
                found = runner(wanted.x[:size], None if wanted.mask is None else wanted.mask[:size])
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise NervureError(
                f"{form}: the exported file fails on {size} samples ({reason[:200]}), so it was not written"
            ) from error
        worst = difference(found, reference)
        where = f"on sample {worst.sample} at batch size {size}"
        if wanted.stored in WIDE:
            where += f"; samples are {wanted.stored}, and files take float32"
        if not worst.value <= tolerance:
            raise NervureError(
                f"{form}: the exported file's {worst.output} differs from the network's by "
                f"{worst.value:.3g} of its largest value {where} (tolerance {tolerance:g}), so it was "
                "not written"
            )
        other = disagreement(found["logits"], reference["logits"], tolerance) if "logits" in reference else None
        if other is not None:
            raise NervureError(
                f"{form}: the exported file gives another class on sample {other} at batch size {size} "
                f"(largest difference {worst.value:.3g}), so it was not written"
            )
        largest = max(largest, worst.value)
    return largest
