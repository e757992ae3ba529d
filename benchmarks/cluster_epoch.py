"""What clustering adds to an epoch: DCAE-Kmeans against a bare auto-encoder, and one Lloyd step against scikit-learn.

    python benchmarks/cluster_epoch.py [--samples 10000] [--epochs 6]

Epochs alternate in one run: one of ours, one of a bare PyTorch loop with the same network, batches, loss and
optimizer, one of a second bare loop as the control of the measurement against itself. An epoch of ours is all that
lies between two of them: the steps with the clustering term, encoding every sample, one Lloyd step, and the watch
over the clusters. Where the control's median is further than a tenth from 1, the machine was too busy and nothing is
written. The Lloyd step starts from ten of the final latents.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import machine, quartiles, write_result
from torch import nn

from nervure.cluster import clusterers, lloyd
from nervure.cluster.heads import Group
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.method import begin
from nervure.cluster.runs import begun
from nervure.data import Dataset, from_arrays, permutation
from nervure.train import Progress, fit

BATCH, CLUSTERS, LIMIT, CLOSE = 100, 10, 1.25, 1e-5


def blobs(samples: int) -> Dataset:
    """Images of ten kinds, each a smooth pattern with noise: something to cluster, without a file."""
    generator = np.random.default_rng(0)
    kinds = np.kron(generator.random((CLUSTERS, 7, 7)), np.ones((4, 4)))
    x = kinds[generator.integers(CLUSTERS, size=samples)] * 200 + generator.normal(0, 20, (samples, 28, 28))
    x = x.clip(0, 255).astype(np.uint8)[:, None]
    return from_arrays(x, validation=0, test=0, standardize="each-min-max")


def bare_loop(net: nn.Module, x: torch.Tensor, rate: float, decay: float, seed: int) -> Callable[[], None]:
    """A function that makes one epoch of a plain auto-encoder each time it is called."""
    net = copy.deepcopy(net)
    encoder, decoder = net.encoder, net.decoder
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=rate, weight_decay=decay)
    epochs = iter(range(10**6))

    def epoch() -> None:
        order = torch.from_numpy(permutation(len(x), seed, next(epochs)))
        net.train()
        for at in order.split(BATCH):
            batch = x[at]
            optimizer.zero_grad(set_to_none=True)
            loss = (decoder(encoder(batch)) - batch).square().flatten(1).sum(dim=1).mean()
            loss.backward()
            optimizer.step()
        loss.item()

    return epoch


def lap(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternate(ds: Dataset, epochs: int) -> tuple[dict[str, list[float]], torch.Tensor]:
    """Seconds of each epoch of the three loops, without the first one, and our final latents."""
    model = clusterers.get("dcae-kmeans")(CLUSTERS, epochs=epochs + 1, batch_size=BATCH, patience=0, random_state=0)
    ds, method = model.prepared(ds)
    recipe, x = method.recipe, ds.batch(ds.indices("train")).x
    start = begin(method, CLUSTERS, ds)
    bare = [bare_loop(start, x, recipe.lr, recipe.weight_decay, 0) for _ in range(2)]
    times: dict[str, list[float]] = {"ours": [], "bare": [], "control": []}
    left = time.perf_counter()

    def between(where: Progress) -> None:
        nonlocal left
        if where.row is None:
            return
        laps = [time.perf_counter() - left, *(lap(epoch) for epoch in bare)]
        if where.epoch > 1:  # the first one warms caches, and holds the preparation of ours
            for name, one in zip(times, laps, strict=True):
                times[name].append(one)
        left = time.perf_counter()

    run = fit(begun(model, method, ds), ds, recipe, device="cpu", progress=between)
    return times, torch.from_numpy(model.adopt(run).transform(ds))


def lloyd_step(latents: torch.Tensor) -> dict[str, float]:
    """How far one cluster phase of ours lies from one iteration of scikit-learn, and the seconds of both."""
    from sklearn.cluster import KMeans

    wide = latents.double()
    centres = lloyd.seed_centres(wide, CLUSTERS, "kmeans++", 0)
    head = CentresHead(CLUSTERS, latents.shape[1], empty="keep")
    head.centres.copy_(centres)
    head.active.fill_(True)
    ours = lap(lambda: head.refresh(Group.alone(latents), 1))
    model = KMeans(CLUSTERS, init=centres.numpy(), n_init=1, max_iter=1, algorithm="lloyd", tol=0)
    theirs = lap(lambda: model.fit(wide.numpy()))
    largest = float(np.abs(head.centres.numpy() - model.cluster_centers_).max())
    scale = float(wide.std())
    return {"largest_difference": largest, "latent_std": scale, "ours_s": ours, "scikit_learn_s": theirs}


def main() -> None:
    """Alternate the loops, compare the step, and write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cluster_epoch.json")
    given = parser.parse_args()
    if given.epochs < 2:
        parser.error("--epochs: give 2 or more, for quartiles")
    torch.set_num_threads(given.threads)
    about = machine(given.threads)
    times, latents = alternate(blobs(given.samples), given.epochs)
    ratios = {
        name: quartiles([one / base for one, base in zip(times[name], times["bare"], strict=True)])
        for name in ("ours", "control")
    }
    step = lloyd_step(latents)
    result = {
        "claim": "an epoch of DCAE-Kmeans takes at most 1.25 times a bare auto-encoder's, and its Lloyd step is exact",
        "command": "python benchmarks/cluster_epoch.py",
        "settings": {"samples": given.samples, "epochs": given.epochs, "batch": BATCH},
        "network": "conv-autoencoder, 1x28x28",
        "ratio_to_a_bare_epoch": ratios,
        "ratio_of_medians": statistics.median(times["ours"]) / statistics.median(times["bare"]),
        "limits": {"ours": LIMIT},
        "epoch_s": {name: quartiles(values) for name, values in times.items()},
        "lloyd_step": step,
        "holds": ratios["ours"]["median"] <= LIMIT and step["largest_difference"] <= CLOSE,
        "machine": about,
    }
    if not 0.9 <= ratios["control"]["median"] <= 1.1:
        raise SystemExit(f"the control differs from itself by more than a tenth ({ratios}): run on a quieter machine")
    write_result(given.out, result)


if __name__ == "__main__":
    main()
