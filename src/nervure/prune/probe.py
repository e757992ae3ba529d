"""MaskProbe: the loss of a network with some units silenced, within a budget, remembered."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.digest import weights_digest
from nervure.nets.structure.cut import as_units
from nervure.nets.structure.silence import attach, by_group
from nervure.nets.structure.surgery import Graph
from nervure.objectives import Objective
from nervure.observe.borrowed import borrowed

__all__ = ["MaskProbe"]


class MaskProbe:
    """Evaluates masks on fixed samples; an answer given once is not computed again.

    Parameters
    ----------
    net, graph : Module, Graph
        The network, and what :func:`nervure.nets.structure.surgery.trace` found.
    batches : sequence of Batch
        The samples; the loss is their mean.
    objective : callable
        ``(net, batch) -> (loss, logs)``, the loss a mean over the batch.
    budget : int, optional
        The most evaluations; one more is an error.
    path : path, optional
        A file of answers, one a line; a search that was interrupted goes on from it, with the same weights and samples.

    Examples
    --------
    >>> from nervure.objectives import make
    >>> from nervure.nets.structure.surgery import trace
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> batch = Batch(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]), torch.arange(4))
    >>> probe = MaskProbe(net, trace(net, batch.x), [batch], make("cross-entropy"), budget=1)
    >>> probe.loss({"0": torch.tensor([True, False, True])}) == probe.loss({"0": torch.tensor([0, 2])})
    True
    """

    def __init__(
        self,
        net: nn.Module,
        graph: Graph,
        batches: Sequence[Batch],
        objective: Objective,
        *,
        budget: int | None = None,
        path: Path | str | None = None,
    ) -> None:
        if not batches:
            raise InputError("a probe needs samples; the split is empty")
        self.net, self.graph, self.batches, self.objective = net, graph, batches, objective
        self.budget, self.evaluations = budget, 0
        self.path = None if path is None else Path(path)
        self._of = [weights_digest(net, None), _named(objective), *map(_digest, batches)]
        self._known: dict[str, float] = {}
        if self.path is not None and self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a line that was cut off
                    row = json.loads(line)
                    self._known[row["mask"]] = float(row["loss"])

    def loss(self, keep: Mapping[str, Tensor]) -> float:
        """Mean loss with only the units in ``keep`` left on, by layer name: positions, or masks (units,)."""
        sizes = {name: group.side(name).size for group in self.graph.groups for name in group.layers}
        # A mask that silences nothing is the same question for every layer.
        kept = {name: as_units(units, sizes[name], name) for name, units in keep.items() if name in sizes}
        asked = {name: units for name, units in kept.items() if len(units) < sizes[name]}
        asked |= {name: units for name, units in keep.items() if name not in sizes}  # type: ignore[misc]
        units = by_group(self.graph.groups, asked)
        words = json.dumps([self._of, {name: at.tolist() for name, at in sorted(units.items())}])
        mark = hashlib.sha256(words.encode()).hexdigest()
        if mark not in self._known:
            if self.budget is not None and self.evaluations >= self.budget:
                raise InputError(f"the search has used its {self.budget} evaluations; give it more")
            self.evaluations += 1
            self._known[mark] = self._evaluate(units)
            if self.path is not None:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"mask": mark, "loss": self._known[mark]}) + "\n")
        return self._known[mark]

    def _evaluate(self, units: Mapping[str, object]) -> float:
        handles = attach(self.net, self.graph.groups, units)  # type: ignore[arg-type]
        total, count = 0.0, 0
        try:
            with borrowed(self.net) as device, torch.inference_mode():
                for batch in self.batches:
                    value, _ = self.objective(self.net, batch.to(device))
                    total += float(value) * len(batch.x)
                    count += len(batch.x)
        finally:
            for handle in handles:
                handle.remove()
        return total / count


def _digest(batch: Batch) -> str:
    """A digest of samples and their targets."""
    digest = hashlib.sha256()
    for one in (batch.x, batch.y, batch.mask):
        if one is not None:
            plain = one.detach().cpu().contiguous()
            digest.update(f"{plain.dtype}{tuple(plain.shape)}".encode() + plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _named(objective: Objective) -> str:
    """What an objective is, the same in each process: its settings where it tells them, else its name."""
    if dataclasses.is_dataclass(objective):
        return repr(objective)
    return getattr(objective, "__qualname__", type(objective).__qualname__)
