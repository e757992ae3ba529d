"""Rules that judge whole units: which neurons and filters a network can do without."""

from __future__ import annotations

from collections.abc import Mapping

from nervure.judge import Criterion
from nervure.registry import Table

__all__ = ["criteria", "get", "make", "names"]

_HOME = "nervure.prune.criteria"

criteria: Table[type[Criterion]] = Table(
    "criterion",
    {
        "majority-vote": (
            f"{_HOME}.majority_vote:MajorityVote",
            "how often a unit is among the most active of its layer, by votes of the examples",
            "Alqahtani, thesis, chapter 5",
        ),
        "iou-vote": (
            f"{_HOME}.iou_vote:IoUVote",
            "how often a channel's map agrees best with the image's foreground, by votes of the images",
            "Alqahtani, thesis, chapter 6",
        ),
        "sum-iou": (
            f"{_HOME}.iou_vote:SumIoU",
            "summed agreement of a channel's maps with the foreground, without voting",
            "Alqahtani, thesis, chapter 6",
        ),
        "max-vote": (
            f"{_HOME}.iou_vote:MaxVote",
            "iou-vote turned over: the channels with most votes go first, as a control",
            "Alqahtani, thesis, chapter 6",
        ),
        "random": (f"{_HOME}.random:Random", "a seeded random order, the control", "the control"),
        "l1": (
            f"{_HOME}.norms:L1",
            "sum of the magnitudes of a unit's incoming weights (PFEC)",
            "Li et al. 2017 (PFEC)",
        ),
        "l2": (
            f"{_HOME}.norms:L2",
            "Euclidean norm of a unit's incoming weights",
            "He et al. 2018 (soft filter pruning)",
        ),
        "weight-sum": (
            f"{_HOME}.weight_sum:WeightSum",
            "sum of the magnitudes of a unit's outgoing weights",
            "Alqahtani, thesis, chapters 5 and 6 (baseline)",
        ),
        "fpgm": (
            f"{_HOME}.fpgm:FPGM",
            "distance of a filter from the layer's other filters (geometric median)",
            "He et al. 2019",
        ),
        "mean-activation": (
            f"{_HOME}.activation:MeanActivation",
            "mean of a unit's activation over the data",
            "Alqahtani, thesis, chapters 5 and 6 (baseline)",
        ),
        "standard-deviation": (
            f"{_HOME}.activation:StandardDeviation",
            "standard deviation of a unit's activation over the data",
            "Alqahtani, thesis, chapter 5 (baseline)",
        ),
        "activation-l1": (
            f"{_HOME}.activation:ActivationL1",
            "mean l1 norm of a unit's activation",
            "Alqahtani, thesis, chapter 5 (baseline)",
        ),
        "activation-l2": (
            f"{_HOME}.activation:ActivationL2",
            "l2 norm of a unit's activation over the data",
            "Alqahtani, thesis, chapter 5 (baseline)",
        ),
        "entropy": (
            f"{_HOME}.entropy:Entropy",
            "entropy of a unit's activation over the data",
            "Luo and Wu 2017",
        ),
        "apoz": (
            f"{_HOME}.apoz:APoZ",
            "share of a unit's activations above zero (one minus APoZ)",
            "Hu et al. 2016",
        ),
        "mean-gradient": (
            f"{_HOME}.gradients:MeanGradient",
            "mean magnitude of the loss gradient at a unit's activation",
            "Alqahtani, thesis, chapter 6 (baseline)",
        ),
        "taylor": (
            f"{_HOME}.gradients:Taylor",
            "activation times gradient: a first-order estimate of the loss without the unit",
            "Molchanov et al. 2017",
        ),
        "lrp": (
            f"{_HOME}.lrp:LRP",
            "layer-wise relevance: a unit's share of the true class's logit",
            "Bach et al. 2015",
        ),
        "batch-norm-scale": (
            f"{_HOME}.batch_norm_scale:BatchNormScale",
            "magnitude of the scale of the batch norm behind a unit",
            "network slimming",
        ),
        "hrank": (f"{_HOME}.hrank:HRank", "average rank of a unit's feature maps", "Lin et al. 2020"),
        "thinet": (
            f"{_HOME}.thinet:ThiNet",
            "greedy removal that changes the next layer's output least",
            "Luo et al. 2017",
        ),
        "channel-lasso": (
            f"{_HOME}.channel_lasso:ChannelLasso",
            "how long LASSO keeps a unit to rebuild the next layer's output",
            "He et al. 2017",
        ),
        "nisp": (
            f"{_HOME}.nisp:NISP",
            "importance of the outputs pushed back through absolute weights",
            "Yu et al. 2018",
        ),
        "ssim-kmeans": (
            f"{_HOME}.ssim_kmeans:SSIMKMeansCriterion",
            "clusters of structurally similar filters; the representatives stay",
            "Al Dallal, thesis, 2021",
        ),
        "euclidean-kmeans": (
            f"{_HOME}.euclidean_kmeans:EuclideanKMeansCriterion",
            "clusters of near filters by Euclidean k-means; the representatives stay",
            "Al Dallal, thesis, 2021 (extension)",
        ),
        "agglomerative": (
            f"{_HOME}.agglomerative:AgglomerativeCriterion",
            "clusters of similar filters by merging on 1 - SSIM; the medoids stay",
            "Al Dallal, thesis, 2021 (extension)",
        ),
        "ablation": (
            f"{_HOME}.ablation:Ablation",
            "exact loss change without the unit: the oracle, on small layers",
            "the oracle",
        ),
    },
    group="nervure.criteria",
)
names = criteria.names
get = criteria.get


def make(name: str, seed: int = 0, settings: Mapping[str, object] | None = None) -> Criterion:
    """A criterion by name, with ``seed`` where it takes one, and its own settings.

    >>> make("random", seed=3)
    Random(seed=3)
    >>> make("l1", settings={"order": 1})
    Traceback (most recent call last):
    nervure.errors.InputError: criterion 'l1' has no setting 'order'; it takes none
    """
    made: Criterion = criteria.seeded(name, seed, settings)
    return made
