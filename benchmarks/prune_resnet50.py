"""What planning and cutting ResNet-50 costs, beside Torch-Pruning's magnitude pruner at the same cut.

    python benchmarks/prune_resnet50.py [--rounds 9] [--threads 1] [--keep 0.5] [-o FILE]

Both keep the units with the largest L1 norms of the first two convolutions of every block, on images of 224 x 224.
Ours is the whole way: tracing, judging, counting, planning, the cut itself and its check against the masked network.
Both leave the network that they are given as it was: ours by itself,
Torch-Pruning on a copy, which its clock includes; the ratio without that copy is stated too. A round times both, in
turn; ratios are taken within their round, and medians over rounds are reported. The units kept must be the same.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import platform
import statistics
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
import torch_pruning
from torch import nn

import nervure
from nervure import prune
from nervure.nets.cost import count
from nervure.nets.resnet import resnet50

HERE = Path(__file__).parent
SHAPE = (3, 224, 224)
COPIES: list[float] = []


def network() -> nn.Module:
    """Random weights whose units have norms as uneven as trained ones, so that no two compete for a place."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = resnet50(SHAPE, 1000).eval()
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight *= torch.exp(0.3 * torch.randn(module.out_channels, 1, 1, 1))
    return net


def ours(net: nn.Module, keep: float, example: torch.Tensor) -> tuple[float, nn.Module, dict[str, tuple[int, ...]]]:
    start = time.perf_counter()
    plan = prune.plan(net, None, "l1", prune.Target(keep=keep), shortcuts=False, example=example)
    small = plan.apply(net)
    took = time.perf_counter() - start
    assert plan.applied is None
    return took, small, plan.kept


def theirs(net: nn.Module, keep: float, example: torch.Tensor) -> tuple[float, nn.Module, dict[str, tuple[int, ...]]]:
    begin = time.perf_counter()
    net = copy.deepcopy(net)
    copying = time.perf_counter() - begin
    inner = {name for name, _ in net.named_modules() if name.startswith("stages") and name.endswith(("conv1", "conv2"))}
    layers = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    units = {name: module.out_channels for name, module in layers if name in inner}  # type: ignore[union-attr]
    start = time.perf_counter()
    pruner = torch_pruning.pruner.MagnitudePruner(
        net,
        example,
        importance=torch_pruning.importance.MagnitudeImportance(p=1, group_reduction="first", normalizer=None),
        pruning_ratio=1 - keep,
        ignored_layers=[module for name, module in layers if name not in inner],
    )
    pruner.step()
    took = time.perf_counter() - start + copying
    COPIES.append(copying)
    gone = {name: set(at) for name, out, at in pruner.pruning_history() if out}
    kept = {name: tuple(one for one in range(units[name]) if one not in gone[name]) for name in units}
    return took, net, kept


def measure(rounds: int, threads: int, keep: float) -> dict[str, object]:
    torch.set_num_threads(threads)
    net = network()
    example = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    calls = {"ours": ours, "theirs": theirs}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    made = {}
    for turn in range(rounds + 1):
        for name in sorted(calls, reverse=bool(turn % 2)):
            gc.collect()  # so that neither clears away in its time what the other left
            took, small, kept = calls[name](net, keep, example)
            if turn:  # the first round warms up
                seconds[name].append(took)
            made[name] = (sum(one.numel() for one in small.parameters()), count(small, SHAPE).macs, kept)
    ratios = [one / two for one, two in zip(seconds["ours"], seconds["theirs"], strict=True)]
    bare = [two - copied for two, copied in zip(seconds["theirs"], COPIES[1:], strict=True)]
    return {
        "ours_s": statistics.median(seconds["ours"]),
        "theirs_s": statistics.median(seconds["theirs"]),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4, method="inclusive")[::2],
        "ratio_without_their_copy": statistics.median(
            one / two for one, two in zip(seconds["ours"], bare, strict=True)
        ),
        "goal": 1.25,
        "same_units": made["ours"][2] == made["theirs"][2],
        "params": made["ours"][0],
        "flops": 2 * made["ours"][1],
        "same_cost": made["ours"][:2] == made["theirs"][:2],
        "seconds": seconds,
    }


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / two for one, two in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "results" / "prune_resnet50.json")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = measure(given.rounds, given.threads, given.keep)
    record = {
        "benchmark": "prune_resnet50",
        "command": f"python benchmarks/prune_resnet50.py --rounds {given.rounds} --threads {given.threads}",
        "keep": given.keep,
        "rounds": given.rounds,
        "threads": given.threads,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "machine": platform.machine(),
        "versions": {
            "nervure": nervure.__version__, "torch": torch.__version__, "torch_pruning": version("torch-pruning"),
        },
        **found,
    }  # fmt: skip
    given.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps({key: value for key, value in record.items() if key != "seconds"}, indent=1))


if __name__ == "__main__":
    main()
