"""What scoring and masking VGG-16's edges costs, beside Torch's global magnitude pruning of the same network.

    python benchmarks/sparsify.py [--rounds 15] [--threads 1] [--sparsity 0.5] [-o FILE]

Both remove the same share of the edges of every convolution and linear layer, ranked together, and leave the network
as it was: ours by itself (a mask, and a masked copy), ``torch.nn.utils.prune.global_unstructured`` on a copy that its
clock includes; the ratio without that copy is stated too. ``isparse`` is the whole way, one image forward, one back
through the absolute network, scores, ranking and masks, with final scores ``identity``; ``isparse layer`` ranks each
layer alone, as it does by default; ``magnitude`` is our magnitude under the same ranking, which must choose the edges
that Torch chooses. ``control`` is Torch's again, for the clock. A round times all, each round beginning with another;
ratios are taken within their round, and medians over rounds are reported. Apart from the clock the forwards and
backwards of one image are counted, as multiply-adds in units of one such pass of the network, and the time of ranking
alone is taken.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import machine, quartiles, write_result
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from nervure import nets, sparsify
from nervure.sparsify.layers import prunable
from nervure.sparsify.select import highest, highest_of_all, kept_count

SHAPE = (3, 32, 32)
COPIES: list[float] = []


def ours(net: nn.Module, share: float, example: Tensor, criterion: str, ranking: str) -> sparsify.Mask:
    settings = {"initial": "identity"} if criterion == "isparse" else {}
    mask = sparsify.plan(net, None, criterion, share, ranking=ranking, example=example, allow_empty=True, **settings)
    mask.apply(net)
    return mask


def theirs(net: nn.Module, share: float) -> dict[str, Tensor]:
    begin = time.perf_counter()
    held = copy.deepcopy(net)
    COPIES.append(time.perf_counter() - begin)
    layers = {name: one for name, one in held.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)}
    prune.global_unstructured([(one, "weight") for one in layers.values()], prune.L1Unstructured, amount=share)
    return {name: one.weight_mask.bool() for name, one in layers.items()}  # type: ignore[operator]


def passes(net: nn.Module, share: float, example: Tensor) -> dict[str, float]:
    """Multiply-adds of the whole way, in units of a forward and backward pass of one image of the network."""
    with FlopCounterMode(display=False) as once:
        copied = copy.deepcopy(net)
        copied(example).sum().backward()
    with FlopCounterMode(display=False) as whole:
        ours(net, share, example, "isparse", "layer")
    return {"one_pass_flops": float(once.get_total_flops()), "ours_flops": float(whole.get_total_flops()),
            "passes": whole.get_total_flops() / once.get_total_flops(), "limit": 3.0}  # fmt: skip


def ranking(net: nn.Module, share: float, rounds: int) -> dict[str, float]:
    """Seconds of choosing edges from scores that are there, by layer and together."""
    scores = {name: one.weight.detach().abs() for name, one in prunable(net).items()}  # type: ignore[operator]
    edges = sum(one.numel() for one in scores.values())
    ways: dict[str, Callable[[], object]] = {
        "layer": lambda: [highest(one, kept_count(one.numel(), share)) for one in scores.values()],
        "global": lambda: highest_of_all(scores, kept_count(edges, share)),
    }
    found = {}
    for name, way in ways.items():
        took = []
        for _ in range(rounds):
            begin = time.perf_counter()
            way()
            took.append(time.perf_counter() - begin)
        found[name] = statistics.median(took)
    return found


def measure(rounds: int, share: float) -> dict[str, object]:
    net = nets.build("vgg16", in_shape=SHAPE, classes=10, head=[512, 512], batch_norm=False, seed=0).eval()
    example = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    calls: dict[str, Callable[[], object]] = {
        "isparse": lambda: ours(net, share, example, "isparse", "global"),
        "isparse layer": lambda: ours(net, share, example, "isparse", "layer"),
        "magnitude": lambda: ours(net, share, example, "magnitude", "global"),
        "torch": lambda: theirs(net, share),
        "control": lambda: theirs(net, share),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    copies: list[float] = []
    made: dict[str, object] = {}
    order = list(calls)
    for turn in range(rounds + 1):
        COPIES.clear()
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            begin = time.perf_counter()
            made[name] = calls[name]()
            took = time.perf_counter() - begin
            if turn:  # the first round warms up
                seconds[name].append(took)
        if turn:
            copies.append(statistics.mean(COPIES))
    mine, other = made["magnitude"], made["torch"]
    assert isinstance(mine, sparsify.Mask) and isinstance(other, dict)
    same = sum(int((mine.masks[name] == one).sum()) for name, one in other.items()) / mine.edges
    ratios = {
        name: [one / two for one, two in zip(values, seconds["torch"], strict=True)]
        for name, values in seconds.items() if name != "torch"
    }  # fmt: skip
    bare = [one / (two - copied) for one, two, copied in zip(seconds["isparse"], seconds["torch"], copies, strict=True)]
    chosen = ranking(net, share, max(3, rounds // 2))
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "edges": mine.edges,
        "median_s": middle,
        "ratio": {name: quartiles(values) for name, values in ratios.items()},
        "ratio_without_their_copy": statistics.median(bare),
        "limit": 2.0,
        "same_edges_as_torch": same,
        "passes": passes(net, share, example),
        "ranking_s": chosen,
        "ranking_share": {"isparse": chosen["global"] / middle["isparse"],
                          "isparse layer": chosen["layer"] / middle["isparse layer"]},
    }  # fmt: skip


def main() -> None:
    """Take turns, and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "results" / "sparsify.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.getLogger("nervure").setLevel(logging.ERROR)  # that units lose their edges is no news here
    about, begin = machine(given.threads), time.perf_counter()
    found = measure(given.rounds, given.sparsity)
    write_result(
        given.out,
        {
            "claim": "scoring and masking VGG-16 costs at most twice Torch's global magnitude pruning",
            "command": "python benchmarks/sparsify.py",
            "network": "vgg16 for 3 x 32 x 32, dense 512-512-10, random weights",
            "sparsity": given.sparsity,
            "rounds": given.rounds,
            **found,
            "seconds": round(time.perf_counter() - begin, 1),
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
