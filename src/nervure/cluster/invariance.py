"""How far a clusterer's features change when images are turned and flipped (spec deepcluster, S12, Fig 4.4).

The mean squared difference depends on how large a layer's activations are, so that a model with small ones looks
invariant. By twice the features' variance it is 0 where nothing changes, and 1 where the transformed image might as
well be another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nervure.cluster.net import ClusterNet
from nervure.cluster.quiet import evaluated
from nervure.data.dataset import Dataset, Indices
from nervure.errors import InputError
from nervure.evidence import Bars

__all__ = [
    "LATENT",
    "TRANSFORMS",
    "Features",
    "Invariance",
    "figures",
    "measure",
    "normalised",
    "squared_difference",
    "stages",
    "watched",
]

LATENT = "latent"
"""What the encoding layer is called."""

Float = NDArray[np.float64]


def _turned(quarters: int, flip: bool) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        return torch.rot90(x.flip(-1) if flip else x, quarters, (-2, -1))

    return change


TRANSFORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "90": _turned(1, False),
    "180": _turned(2, False),
    "270": _turned(3, False),
    "flip": _turned(0, True),
    "flip 90": _turned(1, True),
    "flip 180": _turned(2, True),
    "flip 270": _turned(3, True),
}
"""The seven changes of square images (..., side, side), all exact: degrees, after left and right are exchanged."""


class Invariance(NamedTuple):
    """Mean squared differences (layers, transforms), and the same by twice the features' variance."""

    layers: tuple[str, ...]
    transforms: tuple[str, ...]
    difference: Float
    share: Float


def squared_difference(one: Tensor, other: Tensor) -> float:
    """The mean over samples and units of squared differences of features (n, ...).

    >>> squared_difference(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    0.5
    """
    return float((one.to(torch.float64) - other.to(torch.float64)).square().mean())


def normalised(difference: float, variance: float) -> float:
    """A mean squared difference by twice the variance, which is that of unrelated samples; 0 without any variance.

    >>> normalised(3.0, 2.0), normalised(0.0, 0.0)
    (0.75, 0.0)
    """
    return difference / (2 * variance) if variance > 0 else 0.0


@dataclass
class Features:
    """Moments of each unit of a layer, batch by batch (Chan, Golub and LeVeque, 1979).

    >>> seen = Features().add(torch.tensor([[1.0]])).add(torch.tensor([[3.0], [5.0]]))
    >>> round(seen.variance, 6)
    2.666667
    """

    count: int = 0
    mean: Tensor | None = None
    spread: Tensor | None = None

    def add(self, values: Tensor) -> Features:
        """See features (n, ...)."""
        wide = values.flatten(1).to(torch.float64)
        mean = wide.mean(dim=0)
        spread = (wide - mean).square().sum(dim=0)
        if self.mean is None or self.spread is None:
            self.count, self.mean, self.spread = len(wide), mean, spread
            return self
        total = self.count + len(wide)
        apart = mean - self.mean
        self.mean = self.mean + apart * len(wide) / total
        self.spread = self.spread + spread + apart.square() * self.count * len(wide) / total
        self.count = total
        return self

    @property
    def variance(self) -> float:
        """The mean over units of their variance over samples."""
        return 0.0 if self.spread is None else float(self.spread.mean()) / self.count


def stages(net: ClusterNet, count: int = 3) -> dict[str, nn.Module]:
    """The first ``count`` convolutions of an encoder, each with its norm and activation: the module that ends it.

    >>> from nervure import nets
    >>> from nervure.cluster.net import attach_head
    >>> base = nets.build("conv-autoencoder", in_shape=(1, 16, 16), classes=0, latent=4)
    >>> {name: type(one).__name__ for name, one in stages(attach_head(base, "centres", 3, latent=4)).items()}
    {'convolution 1': 'ReLU', 'convolution 2': 'ReLU', 'convolution 3': 'ReLU'}
    """
    found: list[nn.Module] = []
    follows = False
    for module in net.encoder.modules():
        if any(True for _ in module.children()):
            continue
        if isinstance(module, nn.modules.conv._ConvNd):
            found.append(module)
            follows = True
        elif isinstance(module, nn.Linear | nn.Flatten):
            follows = False
        elif follows:
            found[-1] = module
    return {f"convolution {number}": module for number, module in enumerate(found[:count], start=1)}


@torch.no_grad()
def watched(net: ClusterNet, x: Tensor, layers: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The features (n, ...) of a batch at layers, and its latents.

    >>> from nervure import nets
    >>> from nervure.cluster.net import attach_head
    >>> base = nets.build("conv-autoencoder", in_shape=(1, 8, 8), classes=0, latent=4)
    >>> net = attach_head(base, "centres", 3, latent=4)
    >>> {name: tuple(one.shape) for name, one in watched(net, torch.zeros(2, 1, 8, 8), stages(net, 1)).items()}
    {'convolution 1': (2, 32, 4, 4), 'latent': (2, 4)}
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, out: Tensor) -> None:
            seen[name] = out.detach().clone()

        return hook

    with ExitStack() as stack:
        for name, module in layers.items():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        seen[LATENT] = net.encode(x)
    return seen


@torch.no_grad()
def measure(
    net: ClusterNet, ds: Dataset, at: Indices | None = None, *, layers: int = 3, batch: int = 256
) -> Invariance:
    """Every transform's differences at the first convolutions and at the encoding layer, in one pass.

    Parameters
    ----------
    net : ClusterNet
        On the CPU or a device; its mode is restored.
    ds : Dataset
        Of square images.
    at : array, optional
        Which samples; all if not given.
    layers : int
        Convolutions to look at.
    batch : int
        Samples at a time.

    Examples
    --------
    >>> from nervure import data, nets
    >>> from nervure.cluster.net import attach_head
    >>> base = nets.build("conv-autoencoder", in_shape=(1, 8, 8), classes=0, latent=4)
    >>> found = measure(attach_head(base, "centres", 3, latent=4), data.load("digits"), np.arange(50))
    >>> found.difference.shape, found.layers[-1]
    ((4, 7), 'latent')
    """
    if ds.kind != "image" or ds.in_shape[-1] != ds.in_shape[-2]:
        raise InputError(f"{ds.source}: invariance is measured on square images; these are of shape {ds.in_shape}")
    at = ds.indices() if at is None else at
    if len(at) < 2:
        raise InputError(f"{ds.source}: invariance needs two images or more")
    ends = stages(net, layers)
    names = (*ends, LATENT)
    sums = np.zeros((len(names), len(TRANSFORMS)))
    moments = {name: Features() for name in names}
    device = next(net.parameters()).device
    with evaluated(net):
        for start in range(0, len(at), batch):
            x = ds.batch(at[start : start + batch]).x.to(device)
            plain = watched(net, x, ends)
            for name in names:
                moments[name].add(plain[name])
            for place, change in enumerate(TRANSFORMS.values()):
                changed = watched(net, change(x), ends)
                sums[:, place] += [len(x) * squared_difference(plain[name], changed[name]) for name in names]
    difference = sums / len(at)
    share = np.array(
        [[normalised(one, moments[name].variance) for one in row] for name, row in zip(names, difference, strict=True)]
    )
    return Invariance(names, tuple(TRANSFORMS), difference, share)


def figures(found: Mapping[str, Invariance], *, share: bool = True) -> tuple[Bars, ...]:
    """A panel for each layer: transforms by models (Fig 4.4); normalised, or with ``share=False`` as printed.

    >>> zero = np.zeros((1, 7))
    >>> [one.title for one in figures({"mine": Invariance(("latent",), tuple(TRANSFORMS), zero, zero)})]
    ['Invariance, latent']
    """
    if not found:
        raise InputError("invariance: there is no model to draw; give one or more")
    first = next(iter(found.values()))
    panels = []
    for row, layer in enumerate(first.layers):
        values = np.stack([(one.share if share else one.difference)[row] for one in found.values()])
        means = ", ".join(f"{model} {value:.3g}" for model, value in zip(found, values.mean(axis=1), strict=True))
        panels.append(
            Bars(
                title=f"Invariance, {layer}",
                alt=f"How far features change under seven transforms of the image; mean over them: {means}.",
                values=values,
                bars=first.transforms,
                series=tuple(found),
                y_label="squared difference by twice the variance" if share else "mean squared difference",
            )
        )
    return tuple(panels)
