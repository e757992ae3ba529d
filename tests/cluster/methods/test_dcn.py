from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import nn

from nervure import cluster, data
from nervure.data import Loader

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]


def test_centres_follow_each_step_as_a_loop_over_samples_would(blobs: Blobs) -> None:
    """With a network that stands still: k-means, then every sample in turn moves its centre by one over the count."""
    x = blobs[0]
    model = cluster.DCN(
        3, epochs=3, warmup=1, batch_size=40, lr=1e-30, empty="keep", start=10, latent=2, random_state=0, device="cpu",
        network_options={"widths": [8]}, patience=0,
    ).fit(x)  # fmt: skip
    latents = model.transform(x).astype(np.float64)
    centres = KMeans(3, n_init=10, random_state=0).fit(latents).cluster_centers_
    counts = np.full(3, 10.0)
    ds = data.from_arrays(x, splits={"train": np.arange(len(x))}, validation=0, test=0)
    loader = Loader(ds, "train", 40, seed=0, shuffle=True)
    for epoch in (1, 2):
        for batch in loader.epoch(epoch):
            rows = latents[batch.index.numpy()]
            chosen = ((rows[:, None] - centres) ** 2).sum(2).argmin(1)
            for row, one in zip(rows, chosen, strict=True):
                counts[one] += 1
                centres[one] += (row - centres[one]) / counts[one]
    assert np.allclose(model.cluster_centers_, centres, atol=1e-5)
    assert model.net_.head.counts.tolist() == counts.tolist()


def test_half_of_lambda_weighs_the_distance(blobs: Blobs) -> None:
    ds = data.from_arrays(blobs[0], splits={"train": np.arange(150)}, validation=0, test=0)
    method = cluster.DCN(3, weight=0.3).prepared(ds)[1]
    assert method.recipe.objective_options["weight"] == 0.15
    assert method.head == "running"


def test_a_warm_up_comes_first(blobs: Blobs) -> None:
    ds = data.from_arrays(blobs[0], splits={"train": np.arange(150)}, validation=0, test=0)
    phase = cluster.DCN(3, epochs=40).prepared(ds)[1].recipe.callbacks[0].options
    assert phase["warmup"] == 20, "half of all epochs, where so few samples make 400 steps last longer"
    part = data.from_arrays(blobs[0], splits={"train": np.arange(100)}, validation=0, test=0)
    for epochs, size, warm in ((60, 3, 12), (60, 1, 4), (1, 3, 1)):  # 34 and 100 steps an epoch; never none
        settings = cluster.DCN(3, epochs=epochs, batch_size=size).prepared(part)[1].recipe.callbacks[0].options
        assert settings["warmup"] == warm
    assert cluster.DCN(3, warmup=3).prepared(ds)[1].recipe.callbacks[0].options["warmup"] == 3


def test_what_centres_see_of_a_batch_leaves_running_statistics(blobs: Blobs) -> None:
    """They are of each batch once, as it was trained on."""
    norm = nn.BatchNorm1d(8, momentum=None)
    net = nn.Sequential()
    net.encoder, net.decoder = nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 2)), nn.Linear(2, 4)
    model = cluster.DCN(
        3, network=net, latent=2, epochs=3, warmup=1, batch_size=50, lr=1e-30, patience=0, random_state=0, device="cpu"
    ).fit(blobs[0])  # fmt: skip
    assert int(model.net_.encoder[1].num_batches_tracked) == 3 * 3
