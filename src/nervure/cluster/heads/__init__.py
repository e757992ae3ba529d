"""Heads: what says to which cluster a latent belongs, and how that is learned.

A head holds the cluster parameters as buffers or weights. Those of :class:`CentresHead` and :class:`MixtureHead` are
set in closed form between epochs (:meth:`Head.refresh`); others are trained with the network by :meth:`Head.loss`.
Other packages add rows in the group ``nervure.cluster_heads``.
"""

from __future__ import annotations

from collections.abc import Mapping

from nervure.cluster.heads.head import Group, Head, Refreshed
from nervure.registry import Table

__all__ = ["Group", "Head", "Refreshed", "get", "make_head", "names", "table"]

table: Table[type[Head]] = Table(
    "cluster head",
    {
        "centres": ("nervure.cluster.heads.centres:CentresHead", "nearest centre; Lloyd steps", "MacQueen 1967"),
        "mixture": ("nervure.cluster.heads.mixture:MixtureHead", "Gaussian mixture; EM steps", "Dempster 1977"),
        "scores": (
            "nervure.cluster.heads.scores:ScoresHead",
            "normalised scores as mixture densities",
            "Tissera, thesis, chapter 4",
        ),
        "student": (
            "nervure.cluster.heads.student:StudentHead",
            "trained centres, Student's t, sharpened targets",
            "Xie et al. 2016",
        ),
        "running": (
            "nervure.cluster.heads.running:RunningHead",
            "centres that follow each step",
            "Yang et al. 2017",
        ),
        "variational": (
            "nervure.cluster.heads.variational:VariationalHead",
            "a trained Gaussian mixture as prior of a variational auto-encoder",
            "Jiang et al. 2017",
        ),
        "information": (
            "nervure.cluster.heads.information:InformationHead",
            "clusters of samples and copies that tell the most about each other",
            "Ji et al. 2019",
        ),
        "pseudo-labels": (
            "nervure.cluster.heads.pseudo:PseudoHead",
            "k-means groups as labels for a classifier, anew each epoch",
            "Caron et al. 2018",
        ),
    },
    group="nervure.cluster_heads",
)
names = table.names
get = table.get


def make_head(name: str, clusters: int, latent: int, settings: Mapping[str, object]) -> Head:
    """The head ``name``; a wrong setting is named.

    >>> make_head("centres", 3, 2, {}).clusters
    3
    """
    made: Head = table.make(name, settings, clusters, latent)
    return made
