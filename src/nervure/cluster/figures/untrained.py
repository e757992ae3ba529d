"""What training did: the same samples by a network of the same shape that was never trained (N5)."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from nervure.cluster.encode import encoded
from nervure.cluster.figures.latents import SNAPSHOT, evenly, latents
from nervure.cluster.figures.view import View
from nervure.cluster.heads import Group
from nervure.cluster.heads.scores import ScoresHead
from nervure.cluster.net import ClusterNet
from nervure.evidence import Figure
from nervure.nets import rebuild

__all__ = ["untrained"]


def untrained(view: View) -> dict[str, Figure]:
    """The plane of normalised scores by fresh weights, by cluster and by label (spec neural-mixture-clustering, N5).

    Only of heads of scores, whose network can be built without code of the caller's.
    """
    origin = view.run.origin
    if not isinstance(view.net.head, ScoresHead) or origin is None or origin.base.kind == "function":
        return {}
    net = rebuild(origin)
    assert isinstance(net, ClusterNet)
    at = view.at[evenly(view.some, SNAPSHOT)]
    found = torch.cat([one for _, one in encoded(net, view.ds, at)])
    net.head.begin(Group.alone(found))
    with torch.no_grad():
        logs = net.head.eval()(found).log_softmax(dim=1)
    fresh = View(
        dataclasses.replace(view.run, net=net), view.ds, at, found.numpy(), logs.numpy().astype(np.float64),
        np.arange(len(at)), view.seed,
    )  # fmt: skip
    return {
        name.replace("latents", "latents-untrained"): dataclasses.replace(
            figure,
            title=figure.title.replace("Latent space", "Untrained network"),
            alt=f"{figure.alt} The network has fresh weights.",
        )
        for name, figure in latents(fresh).items()
    }
