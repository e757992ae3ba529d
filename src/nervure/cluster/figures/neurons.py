"""Inputs that maximise a cluster's neuron or a filter, by gradient ascent (spec neural-mixture-clustering, N6, N7)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nervure.cluster.figures.latents import evenly
from nervure.cluster.figures.members import EACH
from nervure.cluster.figures.pictures import images, limits
from nervure.cluster.figures.view import View
from nervure.cluster.net import ClusterNet
from nervure.evidence import Curve, Figure, Images, Matrix

__all__ = ["ascend", "filters", "neurons"]

STEPS = 256
BUDGET = 2e10
FILTERS = 16
DECAY = 1e-4
START = 512
"""Samples whose mean ascent begins with."""


def ascend(
    goal: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    low: float,
    high: float,
    steps: int = STEPS,
    seed: int = 0,
) -> Tensor:
    """Inputs (n, ...), each of which maximises its own entry of ``goal(x)`` (n,) within a range.

    Adam steps from ``start`` with noise N(0, 0.01), and a small pull to zero; images are shifted a little and blurred
    every few steps, so that what is found is no pattern of single pixels (spec multipath-routing, V2s).

    >>> ascend(lambda x: -(x - 0.5).square().sum(dim=1), torch.zeros(2, 3), low=0, high=1).mean(dim=1).round(decimals=1)
    tensor([0.5000, 0.5000])
    """
    generator = torch.Generator().manual_seed(seed)
    x = (start + torch.randn(start.shape, generator=generator) * 0.1).clamp(low, high).requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr=0.05 * (high - low))
    sides = start.shape[2:] if start.ndim == 4 else ()
    reach = [min(4, side // 8) for side in sides]
    for step in range(steps):
        shifts = [int(torch.randint(-most, most + 1, (), generator=generator)) for most in reach]
        seen = torch.roll(x, shifts, dims=(2, 3)) if sides else x
        loss = (DECAY * x.square().flatten(1).sum(dim=1) - goal(seen)).sum()
        optimizer.zero_grad(set_to_none=True)
        (x.grad,) = torch.autograd.grad(loss, [x])
        optimizer.step()
        with torch.no_grad():
            if sides and min(sides) >= 8 and step % 4 == 3 and step < steps - 8:
                x.copy_(_blurred(x))
            x.clamp_(low, high)
    return x.detach()


def _blurred(x: Tensor) -> Tensor:
    """Images after a Gaussian of 0.5 pixels."""
    line = torch.exp(-torch.tensor([1.0, 0.0, 1.0]) / (2 * 0.5**2))
    kernel = (line[:, None] * line / line.sum() ** 2).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])


def neurons(view: View) -> dict[str, Figure]:
    """For heads whose clusters are neurons: samples with the highest scores, and an input that maximises it (N6)."""
    net = view.net
    if net.head.prototypes() is not None or view.ds.mask is not None:
        return {}
    made = _made(view, lambda x: view.score(x).diagonal(), view.count, _steps(view, view.count))
    if view.ds.kind == "series":
        return {"neurons": Curve(
            title="Series that maximise each cluster's neuron",
            alt=f"The first variate of inputs found by gradient ascent for {view.count} clusters.",
            x=np.arange(made.shape[-1]), y=made[:, 0].numpy(), labels=net.names, x_label="time step",
        )}  # fmt: skip
    if view.ds.kind == "table":
        return {"neurons": Matrix(
            title="Inputs that maximise each cluster's neuron",
            alt=f"Features, as network input, found by gradient ascent for {view.count} clusters.",
            values=made.numpy(), rows=net.names, columns=[view.ds.column(one) for one in range(made.shape[1])],
        )}  # fmt: skip
    return {"neurons": _beside(view, made)}


def _beside(view: View, made: Tensor) -> Images:
    """A row a cluster: its synthesised input, framed, and the samples with the highest scores."""
    low, high = limits(view.ds, view.samples(view.some)[0])
    rows, captions = [], []
    with torch.no_grad():
        own = view.score(made).diagonal().numpy()
    exceeded = (view.scores < own).mean(axis=0)
    for cluster in range(view.count):
        best = np.argsort(-view.scores[:, cluster], kind="stable")[:EACH]
        x, _ = view.samples(best)
        rows.append(images(view.ds.preprocessing, torch.cat([made[cluster : cluster + 1], x]), low, high))
        captions += [str(cluster), *(view.label(row) for row in best)]
    columns = len(rows[0])
    return Images(
        title=f"What each cluster's neuron answers to{view.looked}",
        alt=f"A row for each of {view.count} clusters: an input made by gradient ascent, framed, whose score exceeds "
        f"those of {100 * exceeded.min():.1f} % of the samples or more, and the {columns - 1} best samples.",
        pictures=np.concatenate(rows),
        captions=captions,
        columns=columns,
        framed=np.arange(view.count * columns) % columns == 0,
        data={"exceeded": exceeded},
    )


def filters(view: View) -> dict[str, Figure]:
    """Inputs that maximise the mean activation of filters of the first and the last convolution (N7)."""
    convs = [module for module in view.net.encoder.modules() if isinstance(module, nn.Conv2d)]
    if view.ds.kind != "image" or not convs:
        return {}
    found: dict[str, Figure] = {}
    black, white = limits(view.ds, view.samples(view.some)[0])
    for name, conv in {"first": convs[0], "last": convs[-1]}.items():
        count = min(FILTERS, conv.out_channels)
        made = _made(view, functools.partial(_answer, view.net, conv), count, _steps(view, count) // 2)
        found[f"filters-{name}"] = Images(
            title=f"Inputs that maximise filters of the {name} convolution",
            alt=f"Inputs found by gradient ascent for {count} of {conv.out_channels} filters.",
            pictures=images(view.ds.preprocessing, made, black, white),
            columns=8,
        )
    return found


def _made(view: View, goal: Callable[[Tensor], Tensor], count: int, steps: int) -> Tensor:
    """So many inputs by ascent, from the mean of samples, within their range."""
    x, _ = view.samples(evenly(view.some, START))
    start = x.mean(dim=0, keepdim=True).expand(count, *x.shape[1:])
    return ascend(goal, start, low=float(x.min()), high=float(x.max()), steps=steps, seed=view.seed)


class _EnoughError(Exception):
    pass


def _answer(net: ClusterNet, conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The mean activation of filter i for input i: (n,)."""
    held: list[Tensor] = []

    def keep(module: nn.Module, given: object, out: Tensor) -> None:
        held.append(out)
        raise _EnoughError  # what comes after it need not be computed

    hook = conv.register_forward_hook(keep)
    try:
        with contextlib.suppress(_EnoughError):
            net.eval().raw(x)
    finally:
        hook.remove()
    every = held[0][torch.arange(len(x)), torch.arange(len(x))]
    return every.mean(dim=(1, 2))


def _steps(view: View, count: int) -> int:
    """As many as a few seconds allow."""
    macs = max(1.0, view.run.metrics.get("macs", 1e6))
    return int(np.clip(BUDGET / (3 * macs * count), 32, STEPS))
