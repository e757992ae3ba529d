"""Kernel estimation: layers that lost inputs are fitted anew to what they gave in the uncut network.

Spec majority-voting-pruning, 10 (S9): shallow to deep, targets from the uncut network, or the one just before the cut
(a layer's own output, before any norm or activation), inputs from the cut one as recovered so far.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nervure.errors import InputError
from nervure.observe.crossgram import CrossGramResult
from nervure.prune.recover.estimate import descend, merged, ridge_path, total
from nervure.prune.recover.pairs import Pairs
from nervure.prune.recover.recovery import Given, Repair

__all__ = ["GRID", "KernelEstimation", "best_ridge"]

log = logging.getLogger(__name__)

GRID = tuple(0.05 * 10 ** (-at / 2) for at in range(6))
"""Ridges that a hold-out chooses among, from the strongest pull on: 0.05 to 1.6e-4 in half decades."""

_FEW = 0.05  # the ridge for fewer samples than can be held out
Fit = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class KernelEstimation:
    """Least squares for each layer that lost inputs, with a pull towards its weights as cut.

    No labels and a few hundred samples are enough. How much memory it takes is said in
    :class:`nervure.prune.recover.pairs.Pairs`.

    Parameters
    ----------
    variant : "corrected" or "published"
        The closed form; or the thesis's gradient descent on the kernels alone, over all positions: at most
        ``steps`` steps of 1 / λ_max, without ridge or bias.
    ridge : float or "hold-out"
        The pull, relative to the mean diagonal of A; or the best of ``GRID`` on a fifth of the samples, with which
        the layer is then fitted to all.
    bias : bool
        Estimate biases too, of layers that have one.
    positions : int, optional
        Read at most so many positions of each map, drawn by the seed; all for None.
    steps : int
    tolerance : float
        The published variant ends when a step lessens the error by less than this share.
    target : "original" or "current"
        What layers are fitted to: what they gave in the uncut network, or in the network just before this cut. That is
        the uncut one too, unless layers are cut one after the other.

    Examples
    --------
    >>> KernelEstimation(ridge=1e-2).positions
    20
    """

    variant: Literal["corrected", "published"] = "corrected"
    ridge: float | Literal["hold-out"] = "hold-out"
    bias: bool = True
    positions: int | None = 20
    steps: int = 200
    tolerance: float = 1e-4
    target: Literal["original", "current"] = "original"

    def __post_init__(self) -> None:
        if self.variant not in ("corrected", "published"):
            raise InputError(f"kernel estimation: variant {self.variant!r}; give 'corrected' or 'published'")
        if self.target not in ("original", "current"):
            raise InputError(f"kernel estimation: target {self.target!r}; give 'original' or 'current'")
        if self.ridge != "hold-out" and not (isinstance(self.ridge, int | float) and 0 <= self.ridge < float("inf")):
            raise InputError(f"kernel estimation: ridge = {self.ridge!r}; give 0 or more, or 'hold-out'")
        if self.positions is not None and self.positions < 1:
            raise InputError(f"kernel estimation: positions = {self.positions}; give 1 or more, or None for all")
        if self.steps < 1:
            raise InputError(f"kernel estimation: steps = {self.steps}; give 1 or more")
        if not 0 <= self.tolerance < 1:
            raise InputError(f"kernel estimation: tolerance = {self.tolerance}; give a share from 0, less than 1")

    def __call__(self, net: nn.Module, given: Given) -> nn.Module:
        """Estimate layer by layer, in the order of calls."""
        if self.target == "current" and given.current is not None:
            given = dataclasses.replace(given, original=given.current)
        closed = self.variant == "corrected"
        positions = self.positions if closed else None
        pairs = Pairs(net, given, positions, apart=closed and self.ridge == "hold-out")

        def estimate(layer: str, parts: Sequence[Sequence[CrossGramResult]]) -> None:
            repair = self._estimate(layer, net.get_submodule(layer), parts)
            log.info("%s: relative error %.3g, was %.3g", layer, repair.after, repair.before)
            given.tell(repair)

        pairs.each(estimate)
        return net

    def _estimate(self, layer: str, module: nn.Module, parts: Sequence[Sequence[CrossGramResult]]) -> Repair:
        """Fit one layer to normal equations, a list for each part of the samples with an entry a group; in place."""
        assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
        weight = module.weight.detach()
        bias = None if module.bias is None else module.bias.detach()
        groups = len(parts[0])
        weights = weight.flatten(1).chunk(groups)
        biases = [None] * groups if bias is None else list(bias.chunk(groups))
        ridge = self._ridge(parts, weights, biases)
        whole = [merged(*both) for both in zip(*parts, strict=True)] if len(parts) == 2 else list(parts[0])
        found = [self._solve(*one, ridge) for one in zip(whole, weights, biases, strict=True)]
        before = sum(float(one.error(w, b).sum()) for one, w, b in zip(whole, weights, biases, strict=True))
        after = sum(float(one.error(*new).sum()) for one, new in zip(whole, found, strict=True))
        with torch.no_grad():
            module.weight.copy_(torch.cat([one for one, _ in found]).view_as(weight))
            if module.bias is not None:
                module.bias.copy_(torch.cat([one for _, one in found if one is not None]))
        size = total(whole) or 1.0
        return Repair(layer, "kernel-estimation", before / size, after / size, whole[0].count, ridge)

    def _solve(self, equations: CrossGramResult, weight: Tensor, bias: Tensor | None, ridge: float | None) -> Fit:
        if ridge is None:
            fitted = descend(equations, weight, bias, steps=self.steps, tolerance=self.tolerance)
            return fitted, None if bias is None else bias.to(torch.float64)
        return next(ridge_path(equations, weight, bias, [ridge], free_bias=self._frees(bias)))

    def _frees(self, bias: Tensor | None) -> bool:
        return self.bias and bias is not None

    def _ridge(
        self, parts: Sequence[Sequence[CrossGramResult]], weights: Sequence[Tensor], biases: Sequence[Tensor | None]
    ) -> float | None:
        """The ridge to use: as given, or the one whose fit to the first part errs least on the second."""
        if self.variant == "published":
            return None
        if self.ridge != "hold-out":
            return float(self.ridge)
        if len(parts) < 2:
            return _FEW
        fit, held = parts
        paths = [
            ridge_path(one, weight, bias, GRID, free_bias=self._frees(bias))
            for one, weight, bias in zip(fit, weights, biases, strict=True)
        ]
        return best_ridge(held, zip(*paths, strict=True))


def best_ridge(held: Sequence[CrossGramResult], path: Iterable[Sequence[Fit]]) -> float:
    """The ridge of ``GRID`` with the smallest error on ``held``: the first after which the error grows.

    ``path`` gives the fit of each group, ridge after ridge; those behind the answer are not computed.

    >>> one = torch.ones(1, dtype=torch.float64)
    >>> held = CrossGramResult(one[:, None], 2 * one[:, None], one, 2 * one, 4 * one, 1)
    >>> weights = [torch.full((1, 1), value) for value in (3.0, 2.5, 2.0, 1.0, 0.0, 0.0)]
    >>> best_ridge([held], ([(weight, None)] for weight in weights)) == GRID[2]
    True
    """
    best, least = GRID[0], float("inf")
    for ridge, fits in zip(GRID, path, strict=True):
        error = sum(float(one.error(*fit).sum()) for one, fit in zip(held, fits, strict=True))
        if error > least:
            return best
        best, least = ridge, error
    return best
