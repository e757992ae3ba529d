"""What observing costs: all forward-only statistics together, beside a plain forward pass of the same images.

    python benchmarks/observe.py [--images 256] [--batch 64] [--rounds 9] [-o FILE]

VGG-16 on CIFAR shapes with random weights and images; observed are the outputs of its 13 convolutions and its
hidden linear layers. A round times, in shuffled order, a plain pass, the same plain pass again (the control),
a pass with compiled kernels and one in plain torch, results included; ratios are taken within a round,
and the median over rounds is reported with quartiles. Apart from these: compilation without a cache, and the
rank of maps and the normal equations of patches at one layer, which no limit covers. Where the control's
median is further than a tenth from 1, the machine was too busy and nothing is written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics as stats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine
from torch import nn

from nervure.observe import (
    CrossGram,
    Histogram,
    MapRank,
    Moments,
    Norms,
    Quantile,
    Statistic,
    Votes,
    ZeroFraction,
    collect,
)
from nervure.store.atomic import write_json

HERE = Path(__file__).parent


def network() -> nn.Module:
    import nervure.nets as nets

    with torch.random.fork_rng():
        torch.manual_seed(0)
        if hasattr(nets, "build"):
            return nets.build("vgg16", in_shape=(3, 32, 32), classes=10).eval()
        return plain_vgg16().eval()


def plain_vgg16() -> nn.Module:
    """The same shapes, for a checkout without networks."""
    layers: list[nn.Module] = []
    before = 3
    for units in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if units:
            layers += [nn.Conv2d(before, units, 3, padding=1), nn.ReLU(inplace=True)]
            before = units
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 10))


def wanted(net: nn.Module, make: Callable[[], list[Statistic]]) -> dict[str, list[Statistic]]:
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    names = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)] + linear[:-1]
    return {name: make() for name in names}


def everything() -> list[Statistic]:
    return [Moments(), Norms(), ZeroFraction(), Histogram(64), Votes(0.2), Quantile((0.2, 0.8))]


def moments_only() -> list[Statistic]:
    return [Moments(), ZeroFraction()]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    order, times = random.Random(0), {name: [] for name in arms}
    for work in arms.values():
        work()
    for _ in range(rounds):
        for name in order.sample(list(arms), len(arms)):
            times[name].append(seconds(arms[name]))
    return times


def spread(values: list[float]) -> dict[str, float]:
    names = ("minimum", "lower_quartile", "median", "upper_quartile", "maximum")
    return {
        name: round(float(value), 4) for name, value in zip(names, np.quantile(values, np.arange(5) / 4), strict=True)
    }


def measure(images: int, batch: int, rounds: int) -> dict[str, object]:
    net = network()
    x = torch.randn(images, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batches = x.split(batch)

    def plain() -> None:
        with torch.inference_mode():
            for part in batches:
                net(part)

    def observed(make: Callable[[], list[Statistic]], compiled: bool) -> Callable[[], object]:
        def work() -> None:
            for found in collect(net, batches, wanted(net, make), compiled=compiled).values():
                for statistic in found.values():
                    statistic.result()

        return work

    arms = {
        "plain": plain,
        "control": plain,
        "compiled": observed(everything, True),
        "compiled_moments_only": observed(moments_only, True),
        "torch": observed(everything, False),
    }
    times = interleaved(arms, rounds)
    ratios = {
        name: spread([t / base for t, base in zip(times[name], times["plain"], strict=True)])
        for name in arms
        if name != "plain"
    }
    return {
        "seconds": {name: spread(values) for name, values in times.items()},
        "ratio_to_plain_forward": ratios,
        "limits": {"compiled": 1.3, "torch": 2.0},
        "within": {name: ratios[name]["median"] <= limit for name, limit in (("compiled", 1.3), ("torch", 2.0))},
        "compile_seconds": compile_seconds(),
        "apart": apart(net, batches, stats.median(times["plain"])),
    }


def compile_seconds() -> float:
    """First call without any cache, less the second call, in a process of its own."""
    code = (
        "import time, torch; from nervure.observe import kernels; from nervure.observe.grid import Grid\n"
        "x, t = torch.ones(2, 2, 2), [time.perf_counter()]\n"
        "for _ in range(2): kernels.summarise(x, Grid.empty(2, 8)); t.append(time.perf_counter())\n"
        "print(t[1] - t[0] - (t[2] - t[1]))"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return round(float(done.stdout), 2)


def apart(net: nn.Module, batches: tuple[torch.Tensor, ...], plain: float) -> dict[str, float]:
    """Ratio of a pass with one costly statistic at one layer (8 x 8 maps, 256 units)."""
    name, layer = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d)][5]
    costly: dict[str, Statistic] = {
        "map_rank": MapRank(),
        "cross_gram_20_places": CrossGram(layer, per_example=20),
    }
    return {
        key: round(seconds(lambda one=one: collect(net, batches, {name: [one]})) / plain, 2)
        for key, one in costly.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "results" / "observe.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    settings = {"images": given.images, "batch": given.batch, "rounds": given.rounds}
    found = {"command": "python benchmarks/observe.py", "settings": settings, "machine": about}
    found |= measure(**settings)
    print(json.dumps(found, indent=2))
    if not 0.9 <= found["ratio_to_plain_forward"]["control"]["median"] <= 1.1:
        raise SystemExit("the control differs from itself by more than a tenth: run again on a quieter machine")
    write_json(given.out, found)


if __name__ == "__main__":
    main()
