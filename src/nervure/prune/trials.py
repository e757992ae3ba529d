"""Targets that must be measured: accuracy on validation, and latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.nets.shadow import place_of
from nervure.nets.structure.check import cut_as, small
from nervure.prune.budget import Counts
from nervure.prune.plan import Latency, Trial
from nervure.prune.recover import recover as mend
from nervure.prune.target import Target

if TYPE_CHECKING:
    from nervure.prune.draft import Draft

__all__ = ["GRID", "Outcome", "accuracy", "latency"]

GRID = tuple(step / 20 for step in range(1, 20))
"""The kept shares that are tried: 0.05, 0.10, ..., 0.95."""
Recovery = Callable[[nn.Module, nn.Module, Dataset, Mapping[str, Sequence[int]]], nn.Module]


@dataclass(frozen=True)
class Outcome:
    """How many units each group keeps, and what was measured to find out."""

    counts: Counts
    trials: tuple[Trial, ...] = ()
    latency: Latency | None = None


def accuracy(
    draft: Draft, ds: Dataset | None, target: Target, recover: Recovery | None, seed: int, device: str
) -> Outcome:
    """The smallest network on the grid whose accuracy on validation falls by no more than the target.

    Six evaluations at most: the network itself, and five that halve the grid. That takes accuracy for growing
    with size, which holds on the whole; all trials are kept, so anyone can see where it did not.
    """
    from nervure.train.evaluate import evaluate

    assert target.accuracy_drop is not None
    if ds is None or ds.task != "classification":
        raise InputError("target accuracy_drop needs labelled classes to measure accuracy on")
    if "validation" not in ds.splits:
        raise InputError(f"target accuracy_drop: {ds.source} has no validation split to measure on; give one")
    recovery = _recovery(target, seed, device) if recover is None else recover

    def measure(net: nn.Module) -> float:
        return evaluate(net, ds, split="validation", device=device).metrics["accuracy"]

    whole = measure(draft.net)
    full = {group.name: group.units for group in draft.free}
    made = [_trial(draft, 1.0, full, accuracy=whole, drop=0.0, fits=True)]
    best, low, high = full, -1, len(GRID)
    while high - low > 1:
        middle = (low + high) // 2
        counts = draft.at_share(GRID[middle])
        found = measure(recovery(_small(draft, counts), draft.net, ds, draft.kept(counts)))
        drop = 100 * (whole - found)
        fits = drop <= target.accuracy_drop + 1e-9
        made.append(_trial(draft, GRID[middle], counts, accuracy=found, drop=drop, fits=fits))
        if fits:
            best, high = counts, middle
        else:
            low = middle
    return Outcome(best, tuple(made))


def _recovery(target: Target, seed: int, device: str) -> Recovery:
    how: dict[str, Any] = {**target.recover_options, "method": target.recover, "seed": seed, "device": device}
    return lambda small, net, ds, kept: mend(small, net, ds, kept=kept, **how)


def latency(draft: Draft, target: Target) -> Outcome:
    """The largest uniform share on the grid that is measured fast enough: medians of interleaved runs.

    The clock is no function of the sizes, so a trial may fail that a larger one passes; all are kept.
    """
    from nervure.export.latency import compare_latency

    device, _ = place_of(draft.net)
    example = [one.to(device) for one in draft.inputs]

    def measure(counts: Counts) -> Latency:
        timed = compare_latency(
            {"before": draft.net, "after": _small(draft, counts)}, example, batch=target.batch, threads=target.threads
        )
        before, after = timed["before"], timed["after"]
        return Latency(
            before_ms=1e3 * before.median, after_ms=1e3 * after.median, runs=after.runs, batch=target.batch,
            threads=target.threads, before=before.seconds, after=after.seconds,
        )  # fmt: skip

    def fits(found: Latency) -> bool:
        limit = target.latency_ms if target.latency is None else target.latency * found.before_ms
        assert limit is not None
        return found.after_ms <= limit

    made: list[Trial] = []
    best: Outcome | None = None
    low, high = -1, len(GRID)
    fastest = float("inf")
    while high - low > 1:
        middle = (low + high) // 2
        counts = draft.at_share(GRID[middle])
        found = measure(counts)
        fastest = min(fastest, found.after_ms)
        good = fits(found)
        made.append(_trial(draft, GRID[middle], counts, latency_ms=found.after_ms, fits=good))
        if good:
            best, low = Outcome(counts, latency=found), middle
        else:
            high = middle
    if best is None:
        name, value = target.goal
        raise InputError(f"target {name}={value}: the smallest network tried takes {fastest:.3g} ms; allow more")
    return replace(best, trials=tuple(made))


def _small(draft: Draft, counts: Counts) -> nn.Module:
    inputs = small(draft.net, list(draft.inputs))
    made, reasons = cut_as(draft.net, draft.graph, draft.keep(counts), inputs)
    if made is None or reasons:
        name, why = next(iter(reasons.items()))
        raise InputError(f"{name!r} cannot be cut: {why}; exclude it")
    return made


def _trial(
    draft: Draft, share: float, counts: Counts, *, accuracy: float | None = None, drop: float | None = None,
    latency_ms: float | None = None, fits: bool,
) -> Trial:  # fmt: skip
    params, macs = draft.totals(counts)
    return Trial(
        share=share, units=sum(counts.values()), params=params, macs=macs, accuracy=accuracy, drop=drop,
        latency_ms=latency_ms, fits=fits,
    )  # fmt: skip
