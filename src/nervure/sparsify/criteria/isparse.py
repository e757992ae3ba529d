"""iSparse: an edge counts by its magnitude and by what its unit does to the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.judge import Criterion, Judgement, Layer, Probe
from nervure.observe.absolute import Norms, Rule, backed_scores
from nervure.sparsify.criteria.edges import by_input, by_output, magnitude
from nervure.sparsify.criteria.final import Initial, check_count, final_scores, responses

__all__ = ["ISparse", "Reading", "edge_scores"]

Reading = Literal["output", "input"]


def edge_scores(size: Tensor, units: Tensor, reading: Reading = "output", groups: int = 1) -> Tensor:
    """``E[o, i] = |W[o, i]| N[o]`` (spec isparse, 2.4), or with the other reading ``|W[o, i]| (|W|^T N)[i]``.

    Parameters
    ----------
    size : Tensor
        Magnitudes (outputs, inputs, ...).
    units : Tensor
        Scores of the outputs (outputs,); only their ratios count.
    reading, groups
        Which end of the edge is looked at; the groups of a convolution.

    Examples
    --------
    >>> edge_scores(torch.tensor([[1.0, 2.0], [3.0, 0.5]]), torch.tensor([4.5, 1.2])) * 4.5
    tensor([[4.5000, 9.0000],
            [3.6000, 0.6000]])
    """
    top = units.max()
    scaled = by_output(units / top if top > 0 else units, size)
    if reading == "output":
        return size * scaled
    flat = (size * scaled).flatten(2).sum(2) if size.ndim > 2 else size * scaled
    inputs = flat.view(groups, len(size) // groups, -1).sum(1).flatten()
    return size * by_input(inputs, size, groups)


@dataclass(frozen=True)
class ISparse(Criterion):
    """``E_l = |W_l| N_l`` with ``N_{l-1} = |W_l|^T N_l`` from scores of the outputs (spec isparse, 2.2 to 2.4, 2.7).

    Parameters
    ----------
    initial : {"inf-fs", "identity", "pca"}
        Scores of the outputs: infinite feature selection (of 4096 at most) or principal components of their
        responses, or all alike.
    batch_norm : {"fold", "ignore"}
        Whether a norm counts by its positive scale, or not at all.
    softmax : bool
        Whether responses are taken after softmax.
    alpha : float
        Of infinite feature selection.
    probe : int
        How many samples' responses at most.
    reading : {"output", "input"}
        By the unit that an edge leads to, or by the one that it comes from.
    rules : mapping of str to str or callable
        For operations that have no rule: see :class:`nervure.observe.absolute.Absolute`.

    Examples
    --------
    >>> ISparse(initial="identity").needs_labels
    False
    """

    initial: Initial = "inf-fs"
    batch_norm: Norms = "fold"
    softmax: bool = True
    alpha: float = 0.5
    probe: int = 2000
    reading: Reading = "output"
    rules: Mapping[str, Rule] = field(default_factory=dict, hash=False)
    _final: tuple[Tensor, ...] | None = field(default=None, repr=False, compare=False)
    _units: Mapping[str, Tensor] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, known in (("initial", Initial), ("batch_norm", Norms), ("reading", Reading)):
            if getattr(self, name) not in get_args(known):
                raise InputError(f"{name} = {getattr(self, name)!r}; give one of {', '.join(get_args(known))}")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"alpha = {self.alpha!r}; give a number from 0 to 1")
        if self.probe < 1:
            raise InputError(f"probe = {self.probe!r}; give 1 or more")

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> ISparse:
        """Push the outputs' scores back through ``net``; the outputs are looked at the first time only."""
        x = next((batch.x for batch in batches if len(batch.x)), None)
        if x is None:
            raise InputError("no samples to run the network on; the loader is empty")
        final = self._final
        if final is None:
            # One sample says how many outputs there are; of outputs that are all alike nothing else is asked.
            seen = responses(net, [Batch(x[:1], None, torch.arange(1))], 1, softmax=self.softmax)
            for one in seen:
                check_count(one.shape[1], self.initial)
            if self.initial != "identity":
                seen = responses(net, batches, self.probe, softmax=self.softmax)
            final = tuple(final_scores(one, self.initial, self.alpha) for one in seen)
        names = [layer.name for layer in layers]
        units = backed_scores(net, x[:1], final, names, norms=self.batch_norm, rules=self.rules)
        return replace(self, _final=final, _units=units)

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        if self._units is None:
            raise InputError(f"layer {layer.name!r}: isparse must be prepared; judge with nervure.judge.judge")
        units = self._units[layer.name]
        groups = int(getattr(layer.module, "groups", 1))
        scores = edge_scores(magnitude(layer, weights), units, self.reading, groups)
        return Judgement(scores, notes={"units": units, "final": self._final})
