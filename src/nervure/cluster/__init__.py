"""Deep clustering: estimators that learn an encoder and the clusters of what it sees, together.

They follow scikit-learn: ``fit``, ``predict``, ``predict_proba``, ``transform``, ``score``.

>>> import nervure as nv
>>> nv.cluster.clusterers.names()[:2]
('dcae-kmeans', 'dcae-gmm')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nervure.registry import Table, resolve

if TYPE_CHECKING:
    from nervure.cluster.estimator import DeepClusterer

__all__ = ["choose", "clusterers", "load", "quality", "save", "stability", "stop_epoch"]

_HOME = "nervure.cluster.methods"
_VERBS = {
    "choose": "choice", "load": "runs", "quality": "course", "save": "runs", "stability": "seeds",
    "stop_epoch": "course",
}  # fmt: skip

clusterers: Table[type[DeepClusterer]] = Table(
    "clusterer",
    {
        "dcae-kmeans": (
            f"{_HOME}.dcae_kmeans:DCAEKMeans",
            "auto-encoder and k-means centres, one Lloyd step an epoch",
            "Alqahtani et al. 2018; Alqahtani, thesis, chapter 3",
        ),
        "dcae-gmm": (
            f"{_HOME}.dcae_gmm:DCAEGMM",
            "auto-encoder and a Gaussian mixture, one EM step an epoch",
            "Alqahtani et al. 2018; Alqahtani, thesis, chapter 3",
        ),
        "neural-mixture": (
            f"{_HOME}.neural_mixture:NeuralMixture",
            "scores as mixture densities, EM on batches, with transformed copies",
            "Tissera, thesis, chapter 4",
        ),
        "ae-kmeans": (
            f"{_HOME}.ae_kmeans:AEKMeans",
            "an auto-encoder, then k-means on its latents",
            "standard",
        ),
        "ae-gmm": (
            f"{_HOME}.ae_gmm:AEGMM",
            "an auto-encoder, then a Gaussian mixture of its latents",
            "standard",
        ),
        "aec": (
            f"{_HOME}.aec:AEC",
            "dense auto-encoder and centres, one Lloyd step an epoch",
            "Song et al. 2013",
        ),
        "dcn": (
            f"{_HOME}.dcn:DCN",
            "dense auto-encoder and centres that follow each step",
            "Yang et al. 2017",
        ),
        "dec": (
            f"{_HOME}.dec:DEC",
            "pre-trained encoder, Student's t assignments sharpened",
            "Xie et al. 2016",
        ),
        "idec": (
            f"{_HOME}.idec:IDEC",
            "DEC that keeps the reconstruction",
            "Guo et al. 2017, IJCAI",
        ),
        "dcec": (
            f"{_HOME}.dcec:DCEC",
            "IDEC with a convolutional auto-encoder",
            "Guo et al. 2017, ICONIP",
        ),
        "vade": (
            f"{_HOME}.vade:VaDE",
            "variational auto-encoder with a Gaussian mixture as prior",
            "Jiang et al. 2017",
        ),
        "iic": (
            f"{_HOME}.iic:IIC",
            "mutual information of a sample's cluster and its copy's",
            "Ji et al. 2019",
        ),
        "deep-cluster": (
            f"{_HOME}.deep_cluster:DeepCluster",
            "k-means groups of features as labels, anew each epoch",
            "Caron et al. 2018",
        ),
    },
    group="nervure.clusterers",
)


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return resolve(f"nervure.cluster.{_VERBS[name]}:{name}")
    for row in clusterers.rows.values():
        if row.target.endswith(f":{name}"):
            return resolve(row.target)
    raise AttributeError(f"module 'nervure.cluster' has no attribute {name!r}")
