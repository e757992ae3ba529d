"""Tiny clusterers, for tests of several folders."""

from __future__ import annotations

from nervure import nets
from nervure.cluster.net import ClusterNet, attach_head


def clusterer(head: str = "centres", clusters: int = 3, **settings: object) -> ClusterNet:
    """A clusterer of four values with two latents."""
    base = nets.build("autoencoder", in_shape=(4,), classes=0, widths=[8], latent=2)
    return attach_head(base, head, clusters, latent=2, **settings)
