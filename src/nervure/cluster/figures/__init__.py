"""Figures of a clusterer's run: pure functions from what was looked at to evidence, one file an idea.

Other packages add rows in the group ``nervure.cluster_figures``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nervure.cluster.figures.view import View, look
from nervure.data.dataset import Dataset
from nervure.evidence import Figure
from nervure.registry import Table
from nervure.store.run import Run

__all__ = ["View", "evidence_of", "get", "look", "names", "table"]

_HOME = "nervure.cluster.figures"

table: Table[Callable[[View], Mapping[str, Figure]]] = Table(
    "cluster figure",
    {
        "clusters": (f"{_HOME}.clusters:clusters", "each cluster in a line; what died", "own"),
        "latents": (
            f"{_HOME}.latents:latents",
            "the latent space in the plane, by cluster and label",
            "Alqahtani, thesis, Fig. 3.5",
        ),
        "untrained": (f"{_HOME}.untrained:untrained", "the same by fresh weights", "Tissera, Fig. 4.7"),
        "samples": (
            f"{_HOME}.latents:samples",
            "the samples as they are, in the plane",
            "Alqahtani, thesis, Fig. 3.5A",
        ),
        "snapshots": (f"{_HOME}.latents:snapshots", "the latent space at chosen epochs", "Alqahtani, thesis, Fig. 3.6"),
        "quality": (f"{_HOME}.clusters:course", "how good each epoch is by no label", "own"),
        "centres": (f"{_HOME}.decoded:centres", "cluster centres decoded", "Alqahtani, thesis, Fig. 3.4"),
        "members": (f"{_HOME}.members:members", "nearest and farthest members of each cluster", "own"),
        "series": (f"{_HOME}.series:means", "mean and band of each cluster's series", "own"),
        "recording": (f"{_HOME}.series:recording", "all variates of a series", "own"),
        "windows": (
            f"{_HOME}.windows:windows",
            "a recording, and windows in it",
            "Alqahtani, thesis, Fig. 7.2 and 7.4",
        ),
        "silhouette": (f"{_HOME}.silhouette:silhouette", "how well samples lie in their clusters", "Rousseeuw 1987"),
        "reconstructions": (
            f"{_HOME}.decoded:reconstructions",
            "samples and their reconstructions",
            "Alqahtani, thesis, Fig. 3.3",
        ),
        "heat": (f"{_HOME}.latents:heat", "latents of samples sorted by cluster", "own"),
        "points": (f"{_HOME}.plane:points", "samples of two features, by cluster", "Tissera, Fig. 4.4"),
        "contours": (f"{_HOME}.plane:contours", "densities of two features", "Tissera, Fig. 4.5"),
        "balance": (f"{_HOME}.scores:balance", "batch means of the densities", "Tissera, Table 4.1"),
        "densities": (f"{_HOME}.scores:densities", "the sigmoid and the scores it meets", "Tissera, Fig. 4.2"),
        "neurons": (f"{_HOME}.neurons:neurons", "what a cluster's neuron answers to", "Tissera, Fig. 4.8"),
        "filters": (f"{_HOME}.neurons:filters", "what first and last filters answer to", "Tissera, Fig. 4.9"),
        "invariance": (f"{_HOME}.invariance:invariance", "features of turned pictures", "Alqahtani, thesis, Fig. 4.4"),
    },
    group="nervure.cluster_figures",
)
names = table.names
get = table.get


def evidence_of(
    run: Run, ds: Dataset, *, most: int = 2000, seed: int = 0
) -> tuple[dict[str, Figure], dict[str, float]]:
    """All figures that suit a clusterer's run and its data, and measures that come with them.

    Parameters
    ----------
    run : Run
        Of a clusterer.
    ds : Dataset
        Its training split is looked at; labels, where there are any, colour and name. What is measured is of the split
        that a run's measures are of: test or else validation where there is one.
    most : int
        Samples that are drawn.
    seed : int
        Decides which, and what is random in a figure.

    Examples
    --------
    >>> import nervure as nv, numpy as np
    >>> ds = nv.data.from_arrays(np.random.default_rng(0).normal(size=(40, 4)), validation=0, test=0)
    >>> model = nv.cluster.DCAEKMeans(2, epochs=1, network_options={"widths": [8]}, random_state=0).fit(ds)
    >>> found, measures = evidence_of(model.run_, ds)
    >>> "latents-by-cluster" in found, sorted(measures)
    (True, ['silhouette'])
    """
    view = look(run, ds, most=most, seed=seed)
    found: dict[str, Figure] = {}
    for name in names():
        found |= get(name)(view)
    held_out = next((name for name in ("test", "validation") if len(ds.splits.get(name, ()))), None)
    measured = view if held_out is None else look(run, ds, most=most, seed=seed, split=held_out)
    return found, {} if measured.silhouettes is None else {"silhouette": float(measured.silhouettes.mean())}
