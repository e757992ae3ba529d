"""Clusterings with several numbers of clusters and several seeds, each fitted and measured once."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nervure.cluster.density import bic, free_parameters
from nervure.cluster.figures.view import View, look
from nervure.cluster.heads import Group, Head, make_head
from nervure.cluster.heads.mixture import MixtureHead
from nervure.cluster.heads.variational import VariationalHead
from nervure.cluster.parameters import network_digest, parameters
from nervure.cluster.seeds import agreements, jaccards
from nervure.data.counter import order
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.store import Run
from nervure.store.atomic import write_json

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["Count", "Fit", "Kept", "Latents", "about", "run_in", "summary"]

SAMPLES = 2000
"""Samples whose silhouette and cluster are kept of each fit, at most."""

_FITS = "fits.json"

HALF = 5000
"""Latents that a head is fitted to where the network is trained once, at most; a half of them if there are fewer."""


@dataclass(frozen=True, eq=False)
class Fit:
    """One clustering: the clusters (m,) of the samples that are looked at, and its measures, where there are any."""

    k: int
    seed: int
    labels: NDArray[np.int64]
    silhouette: float | None
    bic: float | None = None


@dataclass(frozen=True)
class Count:
    """The measures of one number of clusters: means over seeds, and how they spread.

    ``silhouette`` is -1 where all samples were in one cluster. ``error`` is the standard error of ``stability``, from
    each seed's mean agreement with the others; ``weakest`` is the lowest mean Jaccard index of a cluster over seeds.
    ``used`` is the mean number of clusters that had a sample.
    """

    k: int
    silhouette: float
    silhouette_spread: float
    stability: float
    stability_spread: float
    error: float
    used: float
    weakest: float = 1.0
    bic: float | None = None
    bic_spread: float | None = None


def summary(k: int, fits: Sequence[Fit]) -> Count:
    """The measures of the fits with ``k`` clusters.

    >>> a, b = np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])
    >>> found = summary(2, [Fit(2, 0, a, 0.5), Fit(2, 1, b, 0.7)])
    >>> round(found.silhouette, 9), found.stability, found.error, found.used
    (0.6, 1.0, 0.0, 2.0)
    """
    heights = np.array([-1.0 if one.silhouette is None else one.silhouette for one in fits])
    labels = np.stack([one.labels for one in fits])
    pairs = agreements(labels)
    each = (pairs.sum(axis=1) - 1) / max(1, len(fits) - 1)
    prices = [one.bic for one in fits if one.bic is not None]
    return Count(
        k=k,
        silhouette=float(heights.mean()),
        silhouette_spread=_spread(heights),
        stability=float(each.mean()) if len(fits) > 1 else 1.0,
        stability_spread=_spread(pairs[np.triu_indices(len(fits), 1)]),
        error=_spread(each) / len(fits) ** 0.5,
        weakest=float(np.nanmin(jaccards(labels, int(pairs.sum(axis=1).argmax())))) if len(fits) > 1 else 1.0,
        used=float(np.mean([len(np.unique(one.labels)) for one in fits])),
        bic=float(np.mean(prices)) if prices else None,
        bic_spread=_spread(np.array(prices)) if prices else None,
    )


def _spread(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def run_in(model: DeepClusterer, ds: Dataset, place: Path | None, **given: Any) -> Run:
    """Fit, and go on from the training that a folder holds; a network given as a module could not be read from it."""
    if isinstance(model.network, nn.Module):
        place = None
    return model.fit_run(ds, out=place, resume=place is not None, **given)


def fitted(estimator: DeepClusterer, ds: Dataset, k: int, seed: int, place: Path | None = None) -> Fit:
    """Train a clone with ``k`` clusters, network and all, in a folder if there is one, and measure it."""
    from sklearn.base import clone

    model = clone(estimator).set_params(n_clusters=k, random_state=seed)
    view = look(run_in(model, ds, place), ds, most=SAMPLES)
    heights = view.silhouettes
    return Fit(k, seed, view.clusters[view.some], None if heights is None else float(heights.mean()))


@dataclass(frozen=True, eq=False)
class Latents:
    """A network that was trained once, for clusterings of its latents with any number of clusters.

    Parameters
    ----------
    view : View
        Of the network that was trained: at most 20,000 latents (n, d).
    how : str
        What it was trained with.
    """

    view: View
    how: str

    @classmethod
    def of(
        cls, estimator: DeepClusterer, ds: Dataset, largest: int, seed: int, place: Path | None = None
    ) -> Latents:  # fmt: skip
        """Train with the reconstruction alone where the method has a warm-up, else with the largest number.

        The network stays in the folder ``place``, if there is one, and is taken from there the next time.
        """
        from sklearn.base import clone

        model = clone(estimator).set_params(n_clusters=largest, random_state=seed)
        if "warmup" in model.get_params():
            model.set_params(warmup=int(model._given("epochs")))
        return cls(look(run_in(model, ds, place), ds, most=SAMPLES), cls.trained(estimator, largest))

    @staticmethod
    def trained(estimator: DeepClusterer, largest: int) -> str:
        """In words, what the network is trained with."""
        alone = "warmup" in estimator.get_params()
        return "once, with the reconstruction alone" if alone else f"once, with {largest} clusters"

    def head(self, k: int, **settings: object) -> Head:
        """An empty mixture where the method's clusters are Gaussians, else centres."""
        net, size = self.view.net, self.view.latents.shape[1]
        if isinstance(net.head, MixtureHead):
            shape = {"covariance": "diag" if net.head.diagonal else "full", "floor": net.head.floor}
            return make_head("mixture", k, size, {**shape, **settings})
        if isinstance(net.head, VariationalHead):
            return make_head("mixture", k, size, {"covariance": "diag", "floor": net.head.floor, **settings})
        return make_head("centres", k, size, settings)

    def fit(self, k: int, seed: int) -> Fit:
        """Cluster one half of the latents, drawn by the seed, into ``k``; then all that are looked at."""
        latents = torch.from_numpy(self.view.latents)
        half = min(HALF, len(latents) // 2)
        if half <= k:
            raise InputError(f"{len(latents)} samples cannot be halved to find {k} clusters; give refit=True")
        part = latents[torch.from_numpy(order(len(latents), seed, 0x4A1F)[:half].astype(np.int64))].to(torch.float64)
        head = self.head(k)
        head.settle(Group.alone(part, seed))
        chosen = head.assign(latents[torch.from_numpy(self.view.some)].to(torch.float64))
        return Fit(k, seed, chosen.numpy(), self.silhouette(chosen.numpy()), price(head, part))

    def alive(self, k: int, seed: int) -> int:
        """How many of ``k`` clusters of all latents are left when those died that had to."""
        head = self.head(k, empty="die")
        head.settle(Group.alone(torch.from_numpy(self.view.latents).to(torch.float64), seed))
        return int(head.alive.sum())  # type: ignore[operator]

    def silhouette(self, chosen: NDArray[np.int64]) -> float | None:
        """The mean silhouette of the samples that are looked at, in clusters (m,)."""
        from sklearn.metrics import silhouette_score

        if not 2 <= len(np.unique(chosen)) < len(chosen):
            return None
        return float(silhouette_score(self.view.latents[self.view.some].astype(np.float64), chosen))


def price(head: Head, latents: Tensor) -> float | None:
    """The Bayesian information criterion of a mixture on the latents (n, d) that it was fitted to; None of centres."""
    if not isinstance(head, MixtureHead):
        return None
    likelihood = float(head.log_joint(latents).logsumexp(dim=1).sum())
    return bic(likelihood, free_parameters(head.clusters, head.latent, head.diagonal), len(latents))


def about(estimator: DeepClusterer, ds: Dataset) -> dict[str, object]:
    """What fits that differ in number and seed have in common: method, samples and how they are scaled, parameters."""
    from nervure.cluster.runs import method_of

    return {
        "method": method_of(estimator),
        "data fingerprint": ds.fingerprint,
        "scaling of samples": ds.preprocessing.to_json(),
        "parameter": {**parameters(estimator), "n_clusters": None, "random_state": None},
        "network": network_digest(estimator),
    }


@dataclass(eq=False)
class Kept:
    """Fits that are done, and training that is under way, kept in a folder if there is to be one.

    Another call with the folder goes on from them.
    """

    settings: Mapping[str, object]
    path: Path | None = None
    fits: dict[tuple[int, int], Fit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None:
            return
        if self.path.is_file():
            raise InputError(f"{self.path}: a file; name a folder, which keeps the fits")
        file = self.path / _FITS
        if file.exists():
            self.fits = _read(file, self.settings)
        else:
            self._write()

    def place(self, name: str) -> Path | None:
        """The folder of a training, where its checkpoint is kept."""
        return None if self.path is None else self.path / name

    def get(self, k: int, seed: int, make: Callable[[Path | None], Fit]) -> Fit:
        """The fit, made now if it is not there yet, in a folder that is removed when it is kept."""
        if (k, seed) not in self.fits:
            place = self.place(f"{k}-{seed}")
            self.fits[k, seed] = make(place)
            self._write()
            if place is not None:
                shutil.rmtree(place, ignore_errors=True)
        return self.fits[k, seed]

    def _write(self) -> None:
        if self.path is not None:
            rows = [{**dataclasses.asdict(one), "labels": one.labels.tolist()} for one in self.fits.values()]
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / _FITS, {"settings": self.settings, "fits": rows})


def _read(path: Path, settings: Mapping[str, object]) -> dict[tuple[int, int], Fit]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        before = held["settings"]
        fits = [Fit(**{**row, "labels": np.array(row["labels"], dtype=np.int64)}) for row in held["fits"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no fits that could be gone on from ({error}); name another folder") from error
    now = json.loads(json.dumps(settings))
    if differ := [name for name in now if before.get(name) != now[name]]:
        raise InputError(f"{path}: its fits were made with a different {differ[0]}; name another folder, or remove it")
    return {(one.k, one.seed): one for one in fits}
