"""The static table of trials: name -> a function that makes one, with JSON settings in and measures out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nervure.registry import Table

__all__ = ["Job", "Measured", "TrialFunction", "trials"]


@dataclass(frozen=True)
class Job:
    """What a trial is given.

    Parameters
    ----------
    source, options : str, dict
        The data, as :func:`nervure.data.load` takes it.
    settings : dict
        JSON data; what it holds is the trial's own affair.
    seed : int
        Decides everything random.
    data_dir : str, optional
        Where this machine keeps its data; not part of the result.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    cache : str, optional
        A folder in which trials of a study keep what they share, such as a network trained once for all of them;
        not part of the result.
    """

    source: str
    options: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    seed: int = 0
    data_dir: str | None = None
    device: str = "auto"
    cache: str | None = None


@dataclass(frozen=True)
class Measured:
    """What a trial gives: finite numbers by name, and seconds by name of what took them."""

    metrics: dict[str, float]
    durations: dict[str, float] = field(default_factory=dict)


TrialFunction = Callable[[Job], Measured]

trials: Table[TrialFunction] = Table(
    "trial",
    {
        "train": ("nervure.study.train_trial:train", "train one network and measure it on test", "own"),
        "prune": ("nervure.study.prune_trial:prune_trial", "prune one network, recover it, measure both", "own"),
        "prune-criteria": (
            "nervure.study.prune_trial:criteria_trial",
            "prune one network by many criteria, recover it, measure each",
            "own",
        ),
        "prune-ablation": (
            "nervure.study.ablation_trial:ablation_trial",
            "silence what criteria find unimportant, layer by layer",
            "Alqahtani, thesis, chapters 5 and 6",
        ),
        "prune-steps": (
            "nervure.study.steps_trial:steps_trial",
            "judge, cut and recover layer by layer, then train",
            "Alqahtani, thesis, chapter 6",
        ),
        "prune-iterative": (
            "nervure.study.iterative_trial:iterative_trial",
            "lose neurons or connections while training once",
            "Alqahtani, thesis, chapter 5",
        ),
        "prune-layerwise": (
            "nervure.study.layerwise_trial:layerwise_trial",
            "prune a layer, retrain the network, go on",
            "Al Dallal, thesis, 2021",
        ),
        "prune-clusters": (
            "nervure.study.clusters_trial:clusters_trial",
            "how many clusters of filters the silhouette finds",
            "Al Dallal, thesis, 2021",
        ),
        "prune-structure": (
            "nervure.study.structure_trial:structure_trial",
            "count a network of given widths, without training",
            "Alqahtani, thesis, chapter 6",
        ),
        "prune-agreement": (
            "nervure.study.prune_trial:agreement_trial",
            "how far criteria agree on the order of units",
            "own",
        ),
        "sparsify": (
            "nervure.study.sparsify_trial:sparsify_trial",
            "remove edges of one trained network at many rates, and measure each",
            "Garg, thesis, chapter 4",
        ),
        "sparsify-training": (
            "nervure.study.sparsify_trial:training_trial",
            "train a network while it loses edges by one method",
            "Garg, thesis, chapter 4",
        ),
        "cluster": (
            "nervure.study.cluster_trial:cluster_trial",
            "group samples by one method, and measure the groups against classes",
            "own",
        ),
        "cluster-invariance": (
            "nervure.study.invariance_trial:invariance_trial",
            "how far a clusterer's features change when images are turned",
            "Alqahtani, thesis, chapter 4",
        ),
        "cluster-densities": (
            "nervure.study.densities_trial:densities_trial",
            "what normalised scores do to a neural mixture's densities",
            "Tissera, thesis, chapter 4",
        ),
    },
    group="nervure.trials",
)
