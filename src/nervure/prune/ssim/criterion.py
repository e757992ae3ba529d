"""The criterion that clustering makes: one unit of each group of like units stays.

Spec ssim-kmeans-pruning, 2.5 and 2.6. How many groups comes from the silhouette, or from the number to keep.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.evidence import Figure
from nervure.features.silhouette import score
from nervure.judge import Criterion, Judgement, Layer, Probe, select
from nervure.prune.criteria.norms import by_unit
from nervure.prune.criteria.seen import example_of
from nervure.prune.ssim.choose import choose
from nervure.prune.ssim.figures import figures
from nervure.prune.ssim.kmeans import Clustering
from nervure.prune.ssim.methods import Grouper, Method
from nervure.prune.ssim.profiles import Effort, effort_of
from nervure.prune.ssim.record import fingerprint
from nervure.prune.ssim.search import LayerSearch, file_of, job_of, search_layer
from nervure.prune.ssim.weights import Weights, folded, scales, standardised

__all__ = ["OneOfEach"]


class OneOfEach(Criterion):
    """Groups the units of a layer by their weights and keeps one of each group; no data is looked at.

    :meth:`judge` groups a layer into as many clusters as the silhouette likes best. Its scores rank units for any
    number to keep: representatives first, those of larger clusters before others; then the rest, the least
    like their centroid first. :meth:`choose` is exact: it clusters into the number to keep.

    Parameters
    ----------
    method : Method
        How units are grouped.
    effort : str or Effort
        How many clusterings :meth:`judge` makes of a layer: ``"quick"``, ``"fast"`` or ``"full"``.
    runs : int
        Clusterings from which :meth:`choose` takes the one with the best silhouette.
    seed : int
    weights : str
        What is clustered: a layer's ``"own"`` weights; ``"standardised"``, each filter to mean 0 and deviation 1; or
        ``"folded"``, each times what the batch norm behind it makes of it, as they are where there is none.

    Examples
    --------
    >>> from nervure.prune.ssim.methods import SSIMKMeans
    >>> with torch.random.fork_rng():
    ...     _ = torch.manual_seed(0)
    ...     module = torch.nn.Conv2d(3, 8, 3)
    >>> layer, criterion = Layer("conv1", module, 8), OneOfEach(SSIMKMeans())
    >>> judgement = criterion.judge(layer, {"weight": module.weight}, {})
    >>> len(criterion.choose(layer, judgement, 3)), judgement.notes["natural_keep"] == criterion.natural_keep(layer)
    (3, True)
    """

    def __init__(
        self,
        method: Method,
        *,
        effort: str | Effort = "quick",
        runs: int = 10,
        seed: int = 0,
        weights: Weights = "own",
    ) -> None:
        if runs < 1:
            raise InputError(f"{type(self).__name__}: runs = {runs}; give 1 or more")
        if weights not in get_args(Weights):
            raise InputError(f"{type(self).__name__}: weights = {weights!r}; give {', '.join(get_args(Weights))}")
        self.method = method
        self.effort = effort_of(effort)
        self.runs = runs if method.random else 1
        self.seed = seed
        self.weights = weights
        self.settings = f"{method!r}, {self.effort!r}"
        self._scales: Mapping[str, Tensor] = {}
        self._chosen: dict[tuple[str, str, int], Clustering] = {}
        self._folder: Path | None = None
        self._last: tuple[tuple[str, str], Grouper] | None = None

    def keeping(self, folder: Path) -> OneOfEach:  # noqa: D102
        made = copy.copy(self)
        made._folder = folder
        return made

    def prepare(self, net: nn.Module, batches: Iterable[Batch], layers: Sequence[Layer]) -> OneOfEach:  # noqa: D102
        if self.weights != "folded":
            return self
        made = copy.copy(self)
        made._scales = scales(net, example_of(batches), layers)
        return made

    def judge(  # noqa: D102
        self, layer: Layer, weights: Mapping[str, Tensor], results: Mapping[str, object], probe: Probe | None = None
    ) -> Judgement:
        weight = self._compared(layer, weights.get("weight"))
        grouper = self._grouper(layer.name, weight)
        found = self._search(layer.name, weight)
        best = self._best(layer.name, grouper, found.natural(self.method.silhouette), found)
        norms = weight.detach().double().flatten(1).norm(dim=1).cpu()
        matrix = grouper.matrix

        own = torch.zeros(len(weight), dtype=torch.bool)
        own[torch.from_numpy(best.representatives())] = True

        def drawn(stays: Tensor | None) -> tuple[Figure, ...]:
            """Of the clustering that chose the units that stay, where one did."""
            stays = own if stays is None else stays
            shown = self._chosen.get((layer.name, fingerprint(weight), int(stays.sum())), best)
            measure, kind = self.method.measure_name, self.method.silhouette
            return figures(layer.name, weight, found, shown, matrix, kind, measure, stays.numpy())

        notes = {
            "natural_keep": best.k,
            "search": found,
            "representatives": best.representatives().tolist(),
            "stop": best.stop,
            "repaired": best.repaired,
        }
        return Judgement(_scores(best), tiebreak=norms, notes=notes, drawn=drawn)

    def choose(self, layer: Layer, judgement: Judgement, keep: int) -> Tensor:
        """The units to keep, ascending: a representative of each of ``keep`` clusters.

        Of a layer whose units are no longer those of its own weights, as in a group of layers cut together, the
        scores decide.
        """
        weight = self._compared(layer)
        if len(weight) != len(judgement.scores):
            return select(judgement.scores, keep, judgement.tiebreak)
        if not 0 <= keep <= len(weight):
            raise InputError(f"{layer.name}: cannot keep {keep} of {len(weight)} units")
        if keep in (0, len(weight)):
            return torch.arange(keep)
        key = (layer.name, fingerprint(weight), keep)
        if key not in self._chosen:
            self._chosen[key] = self._best(layer.name, self._grouper(layer.name, weight), keep)
        return torch.from_numpy(np.sort(self._chosen[key].representatives()))

    def natural_keep(self, layer: Layer) -> int:
        """How many units to keep of a layer when nobody says: the number of clusters the silhouette likes best."""
        return self._search(layer.name, self._compared(layer)).natural(self.method.silhouette)

    def _compared(self, layer: Layer, given: Tensor | None = None) -> Tensor:
        """The weights to cluster: those ``given`` or the layer's own, as :attr:`weights` says."""
        weight = layer.module.weight if given is None else given
        assert isinstance(weight, Tensor)
        weight = by_unit(weight.detach(), layer.module)
        if self.weights == "standardised":
            return standardised(weight)
        scale = self._scales.get(layer.name)
        return weight if scale is None else folded(weight, scale)

    def _search(self, name: str, weight: Tensor) -> LayerSearch:
        file = None if self._folder is None else file_of(self._folder, name)
        return search_layer(name, weight, self.method, self.effort, seed=self.seed, file=file)

    def scenario(self, wish: str, judgements: Mapping[str, Judgement]) -> dict[str, int]:
        """How many units to keep of each layer under ``"scenario-b"`` or ``"scenario-c"``: see :func:`choose`.

        ``judgements`` are by layer, in the network's order. A layer with too few units to be clustered keeps them all.
        """
        searches = {name: one.notes["search"] for name, one in judgements.items()}
        found = {name: one for name, one in searches.items() if isinstance(one, LayerSearch)}
        tables = {name: one.table(self.method.silhouette) for name, one in found.items() if len(one.rows)}
        units = {name: one.n for name, one in found.items()}
        return units | (choose(tables, units, "B" if wish == "scenario-b" else "C") if tables else {})

    def _grouper(self, name: str, weight: Tensor) -> Grouper:
        """The layer made ready; the last one is kept, since judge and choose ask for the same in turn."""
        key = (name, fingerprint(weight))
        if self._last is None or self._last[0] != key:
            self._last = (key, self.method.prepare(weight))
        return self._last[1]

    def _best(self, name: str, grouper: Grouper, k: int, found: LayerSearch | None = None) -> Clustering:
        """The clustering into k with the best silhouette; the first of equals."""
        if found is not None:
            return grouper.cluster([job_of(self.seed, name, k, found.best_run(k, self.method.silhouette))])[0]
        made = grouper.cluster([job_of(self.seed, name, k, run) for run in range(self.runs if k > 1 else 1)])
        if len(made) == 1:
            return made[0]
        return max(made, key=lambda one: round(score(grouper.matrix, one.labels, self.method.silhouette), 9))


def _scores(best: Clustering) -> Tensor:
    """Above 1 for representatives, by the size of their cluster; below for others, by how unlike it they are."""
    sizes = np.bincount(best.labels)[best.labels] / len(best.labels)
    kept = np.isin(np.arange(len(best.labels)), best.representatives())
    return torch.from_numpy(np.where(kept, 1 + sizes, ((1 - best.closeness) / 2).clip(0, 1)))
