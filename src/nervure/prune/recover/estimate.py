"""Kernel estimation as mathematics: normal equations, their ridge solution, and the gradient form.

Spec majority-voting-pruning, 10 (S9). A layer with weights W (outputs, inputs) and bias b reads patches p of its
input and shall give targets y: f(W, b) = 1/(2 rows) sum ||W p + b - y||^2, an own problem for each group of a
grouped convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from nervure.errors import InputError
from nervure.observe.crossgram import CrossGramResult

__all__ = ["NormalEquations", "descend", "gradient", "largest_eigenvalue", "merged", "ridge_path", "total"]

ROWS = 1 << 22  # values of patches turned to float64 at a time: 32 MiB


class NormalEquations:
    """A = PᵀP and B = PᵀY, summed in float64 over rows as they come; a result a group.

    >>> equations = NormalEquations()
    >>> equations.add(torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[3.0], [5.0]]))
    >>> equations.results()[0].cross.flatten().tolist()
    [8.0, 10.0]
    """

    def __init__(self, groups: int = 1) -> None:
        self.groups = groups
        self.count = 0
        self._sums: tuple[Tensor, ...] | None = None

    def add(self, patches: Tensor, targets: Tensor) -> None:
        """Take in patches (rows, inputs) and targets (rows, outputs), both in order of the groups."""
        step = max(1, ROWS // max(1, patches.shape[1]))
        for start in range(0, len(patches), step):
            self._add(patches[start : start + step], targets[start : start + step])

    def _add(self, patches: Tensor, targets: Tensor) -> None:
        p, y = (one.to(torch.float64).unflatten(1, (self.groups, -1)).transpose(0, 1) for one in (patches, targets))
        if self._sums is None:
            groups, _, inputs = p.shape
            outputs = y.shape[2]
            shapes = ((inputs, inputs), (inputs, outputs), (inputs,), (outputs,), (outputs,))
            self._sums = tuple(p.new_zeros(groups, *shape) for shape in shapes)
        gram, cross, inputs_, outputs_, squares = self._sums
        gram.baddbmm_(p.transpose(1, 2), p)
        cross.baddbmm_(p.transpose(1, 2), y)
        inputs_ += p.sum(1)
        outputs_ += y.sum(1)
        squares += y.square().sum(1)
        self.count += p.shape[1]

    def results(self) -> list[CrossGramResult]:
        """The sums of each group."""
        if self._sums is None:
            raise InputError("no row was seen; give samples")
        gram, cross, inputs, outputs, squares = self._sums
        return [
            CrossGramResult(gram[at], cross[at], inputs[at], outputs[at], squares[at], self.count)
            for at in range(self.groups)
        ]


def merged(one: CrossGramResult, two: CrossGramResult) -> CrossGramResult:
    """The normal equations of the rows of both.

    >>> whole = merged(*[CrossGramResult(*[torch.ones(1)] * 5, 3)] * 2)
    >>> whole.count, float(whole.squares)
    (6, 2.0)
    """
    return CrossGramResult(
        one.gram + two.gram,
        one.cross + two.cross,
        one.inputs + two.inputs,
        one.outputs + two.outputs,
        one.squares + two.squares,
        one.count + two.count,
    )


def ridge_path(
    equations: CrossGramResult, weight: Tensor, bias: Tensor | None, ridges: Iterable[float], *, free_bias: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """W = W0 + (A + λI)⁻¹ (B - A W0), with λ = ridge · trace(A) / inputs: step 3 of section 10; for each ridge.

    The pull is towards the weights as cut and not to zero, because deep layers have more unknowns than rows. A free
    bias is one more column of ones, without a pull; a fixed one is subtracted from the targets.

    Parameters
    ----------
    equations : CrossGramResult
        Of one group, targets with the bias in them.
    weight, bias : tensors (outputs, inputs), (outputs,)
        W0 and its bias.
    ridges : iterable of float
        0 is plain least squares, of all solutions the nearest to W0.
    free_bias : bool
        Estimate the bias too.

    Yields
    ------
    tensors (outputs, inputs), (outputs,) in float64

    Examples
    --------
    >>> equations = NormalEquations()
    >>> equations.add(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[3.0], [5.0], [7.0]]))
    >>> start = torch.zeros(1, 1), torch.zeros(1)
    >>> weight, bias = next(ridge_path(equations.results()[0], *start, [1e-12], free_bias=True))
    >>> round(float(weight), 6), round(float(bias), 6)
    (2.0, 1.0)
    """
    start = weight.to(torch.float64)
    inputs = start.shape[1]
    offset = start.new_zeros(len(start)) if bias is None else bias.to(torch.float64)
    lack, gram = _lack(equations, start, offset), equations.gram
    if free_bias:
        column = equations.inputs[:, None]
        corner = column.new_full((1, 1), float(equations.count))
        gram = torch.cat([torch.cat([gram, column], 1), torch.cat([column.T, corner], 1)])
        miss = equations.outputs - start @ equations.inputs - equations.count * offset
        lack = torch.cat([lack, miss[None]])
    scale = float(equations.gram.diagonal().sum()) / inputs
    for ridge in ridges:
        pulled = gram.clone()
        pulled.diagonal()[:inputs].add_(ridge * scale)
        change = _solved(pulled, lack).T
        new = start + change[:, :inputs]
        yield new, None if bias is None else offset + change[:, inputs] if free_bias else offset


def _lack(equations: CrossGramResult, weight: Tensor, bias: Tensor) -> Tensor:
    """(inputs, outputs) B - A Wᵀ - s bᵀ: minus the gradient of the summed squares, halved."""
    return equations.cross - equations.gram @ weight.T - equations.inputs[:, None] * bias


def _solved(gram: Tensor, right: Tensor) -> Tensor:
    """gram⁻¹ right by Cholesky; of a singular gram the smallest of all solutions."""
    factor, failed = torch.linalg.cholesky_ex(gram)
    # A pivot that is nothing but rounding passes the factorisation and spoils what follows.
    pivots = factor.diagonal()
    if int(failed) == 0 and float(pivots.min()) > 1e-7 * float(pivots.max()):
        return torch.cholesky_solve(right, factor)
    home = gram.device
    found: Tensor = torch.linalg.lstsq(gram.cpu(), right.cpu(), driver="gelsd").solution
    return found.to(home)


def gradient(equations: CrossGramResult, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(outputs, inputs) gradient of f with respect to W: eq. 6.7, with rows in place of images.

    >>> equations = NormalEquations()
    >>> equations.add(torch.tensor([[2.0]]), torch.tensor([[3.0]]))
    >>> gradient(equations.results()[0], torch.tensor([[1.0]]))
    tensor([[-2.]], dtype=torch.float64)
    """
    offset = torch.zeros(len(weight), dtype=torch.float64, device=weight.device) if bias is None else bias
    return -_lack(equations, weight.to(torch.float64), offset.to(torch.float64)).T / equations.count


def largest_eigenvalue(gram: Tensor, iterations: int = 50) -> float:
    """Of a positive semi-definite matrix (inputs, inputs), by power iteration from a fixed random start.

    >>> round(largest_eigenvalue(torch.tensor([[2.0, 0.0], [0.0, 1.0]])), 4)
    2.0
    """
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(len(gram), dtype=torch.float64, generator=generator).to(gram)
    value = 0.0
    for _ in range(iterations):
        vector = gram @ vector
        value = float(vector.norm())
        if not value:
            return 0.0
        vector = vector / value
    return value


def descend(
    equations: CrossGramResult, weight: Tensor, bias: Tensor | None, *, steps: int = 200, tolerance: float = 1e-4
) -> Tensor:
    """The gradient form as published: h ← h - η ∇f from W0, with η = 1 / λ_max.

    A and B give the same iterates as convolving all rows anew at each step, at a fraction of the work. It ends
    after ``steps``, or when a step lessens f by less than the share ``tolerance``; 0 never ends early.

    >>> equations = NormalEquations()
    >>> equations.add(torch.tensor([[2.0]]), torch.tensor([[3.0]]))
    >>> descend(equations.results()[0], torch.tensor([[1.0]]), None)
    tensor([[1.5000]], dtype=torch.float64)
    """
    new = weight.to(torch.float64)
    rate = largest_eigenvalue(equations.gram) / equations.count
    if not rate:
        return new
    last = float(equations.error(new, bias).sum())
    for _ in range(steps):
        new = new - gradient(equations, new, bias) / rate
        if tolerance:
            now = float(equations.error(new, bias).sum())
            if last - now <= tolerance * last:
                break
            last = now
    return new


def total(equations: Sequence[CrossGramResult]) -> float:
    """Sum of all squared targets, over groups.

    >>> total([CrossGramResult(*[torch.ones(2)] * 5, 3)])
    2.0
    """
    return float(sum(float(one.squares.sum()) for one in equations))
