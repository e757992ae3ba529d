"""Rules that judge whole units: which neurons and filters a network can do without."""

from __future__ import annotations

from nervure.judge import Criterion
from nervure.registry import Table

__all__ = ["criteria", "get", "names"]

_HOME = "nervure.prune.criteria"
_VOTING = "spec majority-voting-pruning"
_SSIM = "spec ssim-kmeans-pruning"

criteria: Table[type[Criterion]] = Table(
    "criterion",
    {
        "majority-vote": (
            f"{_HOME}.majority_vote:MajorityVote",
            "how often a unit is among the most active of its layer, by votes of the examples",
            f"{_VOTING}, 2",
        ),
        "iou-vote": (
            f"{_HOME}.iou_vote:IoUVote",
            "how often a channel's map agrees best with the image's foreground, by votes of the images",
            f"{_VOTING}, 7 to 9",
        ),
        "sum-iou": (
            f"{_HOME}.iou_vote:SumIoU",
            "summed agreement of a channel's maps with the foreground, without voting",
            f"{_VOTING}, 9",
        ),
        "max-vote": (
            f"{_HOME}.iou_vote:MaxVote",
            "iou-vote turned over: the channels with most votes go first, as a control",
            f"{_VOTING}, 9",
        ),
        "random": (f"{_HOME}.random:Random", "a seeded random order, the control", f"{_VOTING}, 3"),
        "l1": (
            f"{_HOME}.norms:L1",
            "sum of the magnitudes of a unit's incoming weights (PFEC)",
            f"{_SSIM}, 7.1; spec isparse, 2.10",
        ),
        "l2": (f"{_HOME}.norms:L2", "Euclidean norm of a unit's incoming weights", f"{_VOTING}, 3"),
        "weight-sum": (
            f"{_HOME}.weight_sum:WeightSum",
            "sum of the magnitudes of a unit's outgoing weights",
            f"{_VOTING}, 3",
        ),
        "fpgm": (
            f"{_HOME}.fpgm:FPGM",
            "distance of a filter from the layer's other filters (geometric median)",
            f"{_SSIM}, 7.1",
        ),
        "mean-activation": (
            f"{_HOME}.activation:MeanActivation",
            "mean of a unit's activation over the data",
            f"{_VOTING}, 3 and 12",
        ),
        "standard-deviation": (
            f"{_HOME}.activation:StandardDeviation",
            "standard deviation of a unit's activation over the data",
            f"{_VOTING}, 3",
        ),
        "activation-l1": (
            f"{_HOME}.activation:ActivationL1",
            "mean l1 norm of a unit's activation",
            f"{_VOTING}, 3",
        ),
        "activation-l2": (
            f"{_HOME}.activation:ActivationL2",
            "l2 norm of a unit's activation over the data",
            f"{_VOTING}, 3",
        ),
        "entropy": (
            f"{_HOME}.entropy:Entropy",
            "entropy of a unit's activation over the data",
            f"{_VOTING}, 3 and 12",
        ),
        "apoz": (
            f"{_HOME}.apoz:APoZ",
            "share of a unit's activations above zero (one minus APoZ)",
            f"{_SSIM}, 7.1",
        ),
        "mean-gradient": (
            f"{_HOME}.gradients:MeanGradient",
            "mean magnitude of the loss gradient at a unit's activation",
            f"{_VOTING}, 12",
        ),
        "taylor": (
            f"{_HOME}.gradients:Taylor",
            "activation times gradient: a first-order estimate of the loss without the unit",
            f"{_SSIM}, 7.1",
        ),
        "lrp": (
            f"{_HOME}.lrp:LRP",
            "layer-wise relevance: a unit's share of the true class's logit",
            f"{_VOTING}, 12",
        ),
        "batch-norm-scale": (
            f"{_HOME}.batch_norm_scale:BatchNormScale",
            "magnitude of the scale of the batch norm behind a unit",
            "network slimming",
        ),
        "hrank": (f"{_HOME}.hrank:HRank", "average rank of a unit's feature maps", f"{_SSIM}, 7.1"),
        "thinet": (
            f"{_HOME}.thinet:ThiNet",
            "greedy removal that changes the next layer's output least",
            f"{_VOTING}, 12",
        ),
        "channel-lasso": (
            f"{_HOME}.channel_lasso:ChannelLasso",
            "how long LASSO keeps a unit to rebuild the next layer's output",
            f"{_SSIM}, 7.1",
        ),
        "nisp": (
            f"{_HOME}.nisp:NISP",
            "importance of the outputs pushed back through absolute weights",
            f"{_SSIM}, 7.1; spec isparse, 2.3",
        ),
        "ssim-kmeans": (
            f"{_HOME}.ssim_kmeans:SSIMKMeansCriterion",
            "clusters of structurally similar filters; the representatives stay",
            f"{_SSIM}, 2",
        ),
        "euclidean-kmeans": (
            f"{_HOME}.euclidean_kmeans:EuclideanKMeansCriterion",
            "clusters of near filters by Euclidean k-means; the representatives stay",
            f"{_SSIM}, 7.1",
        ),
        "agglomerative": (
            f"{_HOME}.agglomerative:AgglomerativeCriterion",
            "clusters of similar filters by merging on 1 - SSIM; the medoids stay",
            f"{_SSIM}, 7.1",
        ),
        "ablation": (
            f"{_HOME}.ablation:Ablation",
            "exact loss change without the unit: the oracle, on small layers",
            f"{_VOTING}, 3",
        ),
    },
    group="nervure.criteria",
)
names = criteria.names
get = criteria.get
