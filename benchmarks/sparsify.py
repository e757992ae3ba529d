"""What scoring and masking VGG-16's edges costs, beside Torch's global magnitude pruning of the same network.

    python benchmarks/sparsify.py [--rounds 15] [--threads 1] [--sparsity 0.5] [-o FILE]
    python benchmarks/sparsify.py --samples 256 2000 [--rounds 5] ...

Both remove the same share of the edges of every convolution and linear layer, ranked together, and leave the network
as it was: ours by itself (a mask, and a masked copy), ``torch.nn.utils.prune.global_unstructured`` on a copy that its
clock includes; the ratio without that copy is stated too. ``isparse`` is the whole way without data, one image
forward, one back through the absolute network, scores, ranking and masks, with output scores that are all alike
(``identity``); ``isparse layer`` ranks each layer alone, as it does by default; ``magnitude`` is our magnitude under
the same ranking, which must choose the edges that Torch chooses. ``control`` is Torch's again, for the clock. A round
times all, each round beginning with another; ratios are taken within their round, and medians over rounds are
reported. Apart from the clock the operations of one image are counted, in units of a forward pass of the network and
in units of one forward and back, and the time of ranking alone is taken.

By default iSparse takes its output scores from what the network says of up to 2,000 samples. ``--samples`` measures
that, with so many random images, beside the same rivals, and writes ``sparsify_samples.json``.
"""

from __future__ import annotations

import argparse
import copy
import functools
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine, quartiles, write_result
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from nervure import data, nets, sparsify
from nervure.data import Dataset
from nervure.sparsify.layers import prunable
from nervure.sparsify.select import highest, highest_of_all, kept_count

SHAPE = (3, 32, 32)
COPIES: list[float] = []


def ours(net: nn.Module, share: float, example: Tensor, criterion: str, ranking: str) -> sparsify.Mask:
    settings = {"initial": "identity"} if criterion == "isparse" else {}
    mask = sparsify.plan(net, None, criterion, share, ranking=ranking, example=example, allow_empty=True, **settings)
    mask.apply(net)
    return mask


def by_samples(net: nn.Module, share: float, ds: Dataset) -> sparsify.Mask:
    """iSparse as it is by default, but for the ranking: output scores from all samples of ``ds``."""
    mask = sparsify.plan(net, ds, "isparse", share, ranking="global", samples=len(ds), allow_empty=True)
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
    """Operations of the whole way without data, beside those of one image forward, and forward and back."""
    with FlopCounterMode(display=False) as once:
        net(example)
    with FlopCounterMode(display=False) as both:
        copy.deepcopy(net)(example).sum().backward()
    with FlopCounterMode(display=False) as whole:
        ours(net, share, example, "isparse", "layer")
    forward, one_pass, own = (float(one.get_total_flops()) for one in (once, both, whole))
    return {"forward_flops": forward, "one_pass_flops": one_pass, "ours_flops": own, "forward_passes": own / forward,
            "passes": own / one_pass, "limit": 3.0}  # fmt: skip


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


class Turns:
    """Calls that take turns: their seconds by round, what each made last, and the seconds of Torch's copies."""

    def __init__(self, calls: dict[str, Callable[[], object]], rounds: int) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in calls}
        self.made: dict[str, object] = {}
        self.copies: list[float] = []
        order = list(calls)
        for turn in range(rounds + 1):
            COPIES.clear()
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                begin = time.perf_counter()
                self.made[name] = calls[name]()
                took = time.perf_counter() - begin
                if turn:  # the first round warms up
                    self.seconds[name].append(took)
            if turn:
                self.copies.append(statistics.mean(COPIES))

    @property
    def middle(self) -> dict[str, float]:
        """Median seconds of each call."""
        return {name: statistics.median(values) for name, values in self.seconds.items()}

    def ratios(self) -> dict[str, dict[str, float]]:
        """Each call's seconds over Torch's of the same round: median and quartiles."""
        return {
            name: quartiles([one / two for one, two in zip(values, self.seconds["torch"], strict=True)])
            for name, values in self.seconds.items() if name != "torch"
        }  # fmt: skip


def network() -> tuple[nn.Module, Tensor]:
    """VGG-16 with random weights, and an image."""
    net = nets.build("vgg16", in_shape=SHAPE, classes=10, head=[512, 512], batch_norm=False, seed=0).eval()
    return net, torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))


def images(count: int) -> Dataset:
    """Random images, all of them to train on."""
    x = np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)
    return data.from_arrays(x, np.arange(count) % 10, validation=0, test=0)


def measure(rounds: int, share: float) -> dict[str, object]:
    """Without data."""
    net, example = network()
    turns = Turns(
        {
            "isparse": lambda: ours(net, share, example, "isparse", "global"),
            "isparse layer": lambda: ours(net, share, example, "isparse", "layer"),
            "magnitude": lambda: ours(net, share, example, "magnitude", "global"),
            "torch": lambda: theirs(net, share),
            "control": lambda: theirs(net, share),
        },
        rounds,
    )
    mine, other = turns.made["magnitude"], turns.made["torch"]
    assert isinstance(mine, sparsify.Mask) and isinstance(other, dict)
    same = sum(int((mine.masks[name] == one).sum()) for name, one in other.items()) / mine.edges
    pairs = zip(turns.seconds["isparse"], turns.seconds["torch"], turns.copies, strict=True)
    chosen, middle = ranking(net, share, max(3, rounds // 2)), turns.middle
    return {
        "edges": mine.edges,
        "median_s": middle,
        "ratio": turns.ratios(),
        "ratio_without_their_copy": statistics.median(one / (two - copied) for one, two, copied in pairs),
        "limit": 2.0,
        "same_edges_as_torch": same,
        "passes": passes(net, share, example),
        "ranking_s": chosen,
        "ranking_share": {"isparse": chosen["global"] / middle["isparse"],
                          "isparse layer": chosen["layer"] / middle["isparse layer"]},
    }  # fmt: skip


def measure_samples(rounds: int, share: float, counts: list[int]) -> dict[str, object]:
    """With output scores from samples."""
    net, example = network()
    calls: dict[str, Callable[[], object]] = {
        str(count): functools.partial(by_samples, net, share, images(count)) for count in counts
    }
    turns = Turns({**calls, "torch": lambda: theirs(net, share), "control": lambda: theirs(net, share)}, rounds)
    return {
        "samples": counts,
        "median_s": turns.middle,
        "ratio": turns.ratios(),
        "limit": 2.0,
        "without_data": passes(net, share, example),
    }


def main() -> None:
    """Take turns, and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", help="measure the default, with so many samples each")
    parser.add_argument("--rounds", type=int, help="how often each takes its turn [default: 15; with samples 5]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("-o", "--out", type=Path, help="[default: results/sparsify.json or sparsify_samples.json]")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.getLogger("nervure").setLevel(logging.ERROR)  # that units lose their edges is no news here
    about, begin = machine(given.threads), time.perf_counter()
    rounds = given.rounds or (5 if given.samples else 15)
    if given.samples:
        found = measure_samples(rounds, given.sparsity, given.samples)
    else:
        found = measure(rounds, given.sparsity)
    name, options = ("sparsify_samples", ["--samples", *map(str, given.samples)]) if given.samples else ("sparsify", [])
    write_result(
        given.out or Path(__file__).parent / "results" / f"{name}.json",
        {
            "claim": "scoring and masking VGG-16 costs at most twice Torch's global magnitude pruning",
            "command": " ".join(["python benchmarks/sparsify.py", *options]),
            "network": "vgg16 for 3 x 32 x 32, dense 512-512-10, random weights",
            "sparsity": given.sparsity,
            "rounds": rounds,
            **found,
            "seconds": round(time.perf_counter() - begin, 1),
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
