"""Every number of clusters, several runs each, and the same of shuffled weights: spec ssim-kmeans-pruning, 2.5.

A clustering depends on (seed, layer, K, run) alone, so the search may be done in any order, stopped and gone on
with. What is done is kept in one file a layer.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.errors import InterruptedWork
from nervure.features.silhouette import KINDS, Kind, scores
from nervure.features.validity import INDICES, Index, indices, inner_products
from nervure.prune.ssim.choose import ScoresByK
from nervure.prune.ssim.kmeans import STOPS, Clustering, Job, seed_of
from nervure.prune.ssim.methods import Grouper, Method
from nervure.prune.ssim.profiles import Effort, effort_of
from nervure.prune.ssim.record import FIELDS, fingerprint, read, write

__all__ = ["LayerSearch", "file_of", "job_of", "search", "search_layer", "shuffled"]

TOGETHER = 16  # clusterings made side by side
KEEP_EVERY = 30.0  # seconds between writes

Key = tuple[bool, int, int]


@dataclass(frozen=True, eq=False)
class LayerSearch:
    """All clusterings made of one layer.

    Parameters
    ----------
    n : int
        Units of the layer.
    rows : structured array, (m,)
        A row a clustering: ``null`` (of shuffled weights), ``k``, ``run``, ``initial``, a score of each
        silhouette and of each index of validity, ``rounds``, ``repaired``, ``stop`` (a number into ``kmeans.STOPS``).
    labels : array, (m, n)
    """

    n: int
    rows: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, FIELDS))
    labels: NDArray[np.uint16] = field(default_factory=lambda: np.zeros((0, 0), np.uint16))

    def table(self, kind: Kind | Index, *, null: bool = False) -> ScoresByK:
        """Scores by number of clusters, of the layer or of its shuffled weights."""
        some = self.rows[self.rows["null"] == null]
        return ScoresByK.of(some["k"].astype(np.int64), some[kind])

    def natural(self, kind: Kind) -> int:
        """The number of clusters with the highest mean score; all units where there is nothing to choose."""
        return self.table(kind).natural if len(self.rows) else self.n

    def best_run(self, k: int, kind: Kind) -> int:
        """Which run at ``k`` has the best score; the first of equals."""
        some = self.rows[~self.rows["null"] & (self.rows["k"] == k)]
        return int(some["run"][some[kind].argmax()]) if len(some) else 0

    @functools.cached_property
    def done(self) -> frozenset[Key]:
        """What has been clustered: (null, k, run)."""
        return frozenset((bool(row["null"]), int(row["k"]), int(row["run"])) for row in self.rows)

    def with_more(
        self,
        keys: Iterable[Key],
        found: Iterable[Clustering],
        matrix: NDArray[np.float64],
        products: NDArray[np.float64],
    ) -> LayerSearch:
        """This and further clusterings, in the order of their keys, judged by similarities and by inner products."""
        rows, labels = [], []
        for (null, k, run), one in zip(keys, found, strict=True):
            by_kind, by_index = scores(matrix, one.labels), indices(matrix, products, one.labels)
            values = (*(by_kind[kind] for kind in KINDS), *(by_index[index] for index in INDICES))
            rows.append((null, k, run, one.initial, *values, one.rounds, one.repaired, STOPS.index(one.stop)))
            labels.append(one.labels.astype(np.uint16))
        every = np.concatenate([self.rows, np.array(rows, FIELDS)])
        wide = np.concatenate([self.labels.reshape(-1, self.n), np.array(labels, np.uint16)])
        order = np.lexsort((every["run"], every["k"], every["null"]))
        return LayerSearch(self.n, every[order], wide[order])


def file_of(folder: Path, layer: str) -> Path:
    """Where the search of a layer is kept.

    >>> file_of(Path("search"), "features.0").name
    'features.0.npz'
    """
    return folder / f"{layer.replace('/', '_')}.npz"


def job_of(seed: int, layer: str, k: int, run: int, *, null: bool = False) -> Job:
    """The clustering that stands for a run at ``k``; its seed hangs on its name alone.

    >>> job_of(0, "conv1", 8, 0) == job_of(0, "conv1", 8, 0), job_of(0, "conv1", 8, 0) == job_of(0, "conv1", 8, 1)
    (True, False)
    """
    return Job(k, seed_of(seed, layer, "null" if null else "", k, run))


def shuffled(weight: Tensor, seed: int) -> Tensor:
    """The same weights at other positions of the layer: no structure is left, the distribution is.

    >>> weight = torch.arange(6.0).reshape(3, 2)
    >>> moved = shuffled(weight, 1)
    >>> moved.shape, sorted(moved.flatten().tolist()) == weight.flatten().tolist()
    (torch.Size([3, 2]), True)
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(weight.numel()))
    return weight.detach().flatten()[order.to(weight.device)].reshape(weight.shape)


def search_layer(
    name: str,
    weight: Tensor,
    method: Method,
    effort: str | Effort = "fast",
    *,
    seed: int = 0,
    file: Path | str | None = None,
    deadline: float = float("inf"),
) -> LayerSearch:
    """Cluster one layer into every number of clusters that the effort asks for.

    Parameters
    ----------
    name : str
        The layer; seeds hang on it.
    weight : Tensor, (n, channels, *kernel)
    method : Method
    effort : str or Effort
        ``"full"``, ``"fast"`` or ``"quick"``.
    seed : int
    file : path, optional
        Where results are kept; what it holds already is not done again.
    deadline : float
        By ``time.monotonic()``; after it, what is done is kept and InterruptedWork raised.

    Returns
    -------
    LayerSearch

    Examples
    --------
    >>> from nervure.prune.ssim.methods import SSIMKMeans
    >>> weight = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> found = search_layer("conv1", weight, SSIMKMeans(), Effort(None, runs=3))
    >>> len(found.done), found.table("distance").k
    (30, array([2, 3, 4, 5, 6, 7]))
    """
    effort = effort_of(effort)
    header = {"layer": name, "seed": seed, "method": repr(method), "weights": fingerprint(weight)}
    found = LayerSearch(len(weight))
    if file is not None and Path(file).exists():
        found = LayerSearch(len(weight), *read(Path(file), header, len(weight)))
    work = _Work(name, weight, method, seed, deadline, None if file is None else Path(file), header)
    runs = (lambda count: count) if method.random else (lambda count: 1)
    numbers = effort.numbers(found.n)
    found = work.do(found, [(False, int(k), run) for k in numbers for run in range(runs(effort.runs))])
    if len(numbers) and effort.near:
        around = effort.around(found.n, _best(found, method.silhouette, numbers, runs(effort.runs)))
        found = work.do(found, [(False, int(k), run) for k in around for run in range(runs(effort.near_runs))])
    null = effort.numbers(found.n, null=True)
    return work.do(found, [(True, int(k), run) for k in null for run in range(runs(effort.null_runs))])


def search(
    weights: Mapping[str, Tensor],
    method: Method,
    effort: str | Effort = "fast",
    *,
    seed: int = 0,
    folder: Path | str | None = None,
    minutes: float | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, LayerSearch]:
    """Search all layers, one after another.

    Parameters
    ----------
    weights : mapping of str to Tensor
        By layer.
    method, effort, seed
        As for :func:`search_layer`.
    folder : path, optional
        Where each layer's file is kept, so that a stopped search goes on.
    minutes : float, optional
        After which the search stops with InterruptedWork; needs ``folder`` to be of use.
    progress : callable, optional
        Told ``(layer, layers done, layers)`` after each.

    Returns
    -------
    dict of str to LayerSearch
    """
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    found: dict[str, LayerSearch] = {}
    for name, weight in weights.items():
        file = None if folder is None else file_of(Path(folder), name)
        try:
            found[name] = search_layer(name, weight, method, effort, seed=seed, file=file, deadline=deadline)
        except InterruptedWork as stop:
            raise InterruptedWork(f"{len(found)} of {len(weights)} layers searched; {stop}") from stop
        if progress is not None:
            progress(name, len(found), len(weights))
    return found


def _best(found: LayerSearch, kind: Kind, numbers: NDArray[np.int64], runs: int) -> int:
    """The best K by the runs that every number tried has, whatever else the file holds."""
    rows = found.rows
    some = rows[~rows["null"] & np.isin(rows["k"], numbers) & (rows["run"] < runs)]
    return ScoresByK.of(some["k"].astype(np.int64), some[kind]).natural


@dataclass
class _Work:
    """Makes the clusterings of one layer that are asked for and not there yet."""

    name: str
    weight: Tensor
    method: Method
    seed: int
    deadline: float
    file: Path | None
    header: Mapping[str, object]

    def do(self, found: LayerSearch, keys: list[Key]) -> LayerSearch:
        missing = [key for key in keys if key not in found.done]
        if not missing:
            return found
        grouper = self._grouper(missing[0][0])
        products = inner_products(grouper.values)
        written = time.monotonic()
        try:
            for some in _chunks(missing):
                if time.monotonic() > self.deadline:
                    hint = (
                        "give a folder to be able to go on" if self.file is None else f"go on with {self.file.parent}"
                    )
                    raise InterruptedWork(f"the time given is over at {self.name}; {hint}")
                jobs = [job_of(self.seed, self.name, k, run, null=null) for null, k, run in some]
                found = found.with_more(some, grouper.cluster(jobs), grouper.matrix, products)
                if time.monotonic() - written > KEEP_EVERY:
                    self._keep(found)
                    written = time.monotonic()
        finally:
            self._keep(found)
        return found

    def _grouper(self, null: bool) -> Grouper:
        weight = shuffled(self.weight, seed_of(self.seed, self.name, "shuffle")) if null else self.weight
        return self.method.prepare(weight)

    def _keep(self, found: LayerSearch) -> None:
        if self.file is not None:
            write(self.file, json.dumps(self.header), found.rows, found.labels)


def _chunks(keys: list[Key]) -> Iterator[list[Key]]:
    for begin in range(0, len(keys), TOGETHER):
        yield keys[begin : begin + TOGETHER]
