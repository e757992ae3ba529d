"""ClusterNet: an encoder, perhaps its decoder, and a head that says to which cluster a latent belongs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from nervure.cluster.heads import Head, make_head
from nervure.errors import InputError
from nervure.nets.origin import Step, origin_of
from nervure.nets.parts import choose
from nervure.nets.seed import seeded
from nervure.nets.steps import derive
from nervure.objectives.call import takes_mask

__all__ = ["ClusterNet", "attach_head", "rebuild"]


class ClusterNet(nn.Module):
    """From samples to log-probabilities of clusters: (n, *in_shape) -> (n, clusters).

    ``encoder(x)`` gives latents (n, latent), ``norm`` may standardise them, ``head`` assigns them. ``decoder``
    brings latents back to samples and is not part of the forward pass, so that a deployed network leaves it out.
    ``label_layer`` reads the reconstruction and predicts labels; it supervises while training alone.

    >>> import torch
    >>> from nervure import nets
    >>> base = nets.build("autoencoder", in_shape=(4,), classes=0, widths=[8], latent=2)
    >>> net = attach_head(base, "centres", 3, latent=2)
    >>> net(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    task = "clustering"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None,
        norm: nn.Module,
        head: Head,
        label_layer: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.norm = norm
        self.head = head
        self.label_layer = label_layer

    @property
    def names(self) -> tuple[str, ...]:
        """What the clusters are called."""
        return tuple(f"cluster {one}" for one in range(self.head.clusters))

    def raw(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the encoder gives, before ``norm``: (n, latent)."""
        out = self.encoder(x, mask=mask) if mask is not None and takes_mask(self.encoder) else self.encoder(x)
        latents: Tensor = out[0] if isinstance(out, tuple) else out
        return latents.flatten(1)

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Latents (n, latent)."""
        latents: Tensor = self.norm(self.raw(x, mask))
        return latents

    def deployable(self) -> ClusterNet:
        """A copy of what a forward pass needs, in float32: without the decoder, and what predicts labels."""
        made = copy.copy(self)
        made._modules = {**self._modules, "decoder": None, "label_layer": None}
        return copy.deepcopy(made).float()

    def decode(self, latents: Tensor) -> Tensor:
        """Samples (n, *in_shape) from latents."""
        if self.decoder is None:
            raise InputError("this clusterer has no decoder; there is nothing that could show a latent as a sample")
        out: Tensor = self.decoder(latents)
        return out

    def label_scores(self, latents: Tensor, out: Tensor | None = None) -> Tensor:
        """Scores (n, labels): of the layer behind the reconstruction ``out``, or the head's own of its clusters."""
        if self.label_layer is None:
            scores: Tensor = self.head(latents)
        else:
            scores = self.label_layer(self.decode(latents) if out is None else out)
        return scores

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-probability of each cluster for each sample."""
        out: Tensor = self.head(self.encode(x, mask))
        return out


def attach_head(
    net: nn.Module,
    head: str,
    clusters: int,
    *,
    latent: int,
    norm: str = "none",
    label_outputs: int = 0,
    seed: int = 0,
    **settings: Any,
) -> ClusterNet:
    """A clusterer from an auto-encoder or any other encoder; the network given becomes part of it.

    Parameters
    ----------
    net : Module
        An auto-encoder with ``encoder`` and ``decoder``; any other network is an encoder whose last dense layer, if
        it ends in one, gives way to the head's own.
    head : str
        A name of ``nervure.cluster.heads``.
    clusters, latent : int
        Number of clusters, and size of a latent.
    norm : str
        ``"none"``, or ``"batchnorm"``: latents of mean 0 and variance 1, which cannot shrink.
    label_outputs : int
        Labels that a dense layer behind the reconstruction predicts (spec deepcluster, S9); 0 for none.
    seed : int
        Decides the new layers' first weights.
    settings
        The head's own.
    """
    choose("norm", norm, ("none", "batchnorm"))
    options = {
        "head": head, "clusters": clusters, "latent": latent, "norm": norm, "label_outputs": label_outputs,
        "seed": seed, "settings": settings,
    }  # fmt: skip
    made = rebuild(net, options)
    if origin_of(net) is not None:
        derive(net, made, Step("cluster", options))
    return made


def rebuild(net: nn.Module, settings: Mapping[str, Any]) -> ClusterNet:
    """The structural step ``cluster``: ``net`` becomes a part of the clusterer that its settings describe."""
    latent, clusters = int(settings["latent"]), int(settings["clusters"])
    with seeded(int(settings["seed"])):
        head = make_head(str(settings["head"]), clusters, latent, dict(settings["settings"]))
        encoder, decoder = _parts(net)
        norm = nn.BatchNorm1d(latent, affine=False) if settings["norm"] == "batchnorm" else nn.Identity()
        label_layer = None
        if outputs := int(settings["label_outputs"]):
            label_layer = nn.Sequential(nn.Flatten(), _label_layer(net, outputs))
    return ClusterNet(encoder, decoder, norm, head, label_layer)


def _label_layer(net: nn.Module, outputs: int) -> nn.Linear:
    origin = origin_of(net)
    if origin is None:
        raise InputError("labels behind the reconstruction need a network that nets.build made, whose shapes are known")
    values = 1
    for side in origin.base.in_shape:
        values *= side
    layer = nn.Linear(values, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _parts(net: nn.Module) -> tuple[nn.Module, nn.Module | None]:
    """Encoder and decoder of an auto-encoder; of any other network all but its last dense layer, and None."""
    encoder, decoder = getattr(net, "encoder", None), getattr(net, "decoder", None)
    if isinstance(encoder, nn.Module) and isinstance(decoder, nn.Module):
        return encoder, decoder
    name, last = None, None
    for name, last in net.named_modules():  # noqa: B007 - the last one that is seen
        pass
    if name and isinstance(last, nn.Linear):
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, nn.Identity())
    return net, None
