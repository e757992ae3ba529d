from __future__ import annotations

import numpy as np
import pytest

from nervure import cluster, data


@pytest.mark.parametrize("shuffled", [False, True])
def test_how_samples_are_reconstructed_is_asked_of_all_of_them(shuffled: bool) -> None:
    x = np.linspace(0.1, 3, 400, dtype=np.float32)[:, None].repeat(3, axis=1)
    given = np.random.default_rng(0).permutation(x) if shuffled else x
    for top, output in ((1.0, "linear"), (1 / 3, "sigmoid")):
        ds = data.from_arrays(given * np.float32(top), validation=0, test=0, standardize=False)
        assert cluster.DCAEKMeans(2, profile="paper").prepared(ds)[1].network_options["output"] == output
        assert cluster.DCAEKMeans(2).prepared(ds)[1].network_options["output"] == "linear"


@pytest.mark.parametrize("kind", [cluster.AEKMeans, cluster.AEGMM, cluster.AEC])
def test_dark_pictures_do_not_turn_black(kind: type) -> None:
    """A sigmoid behind these layers falls to 0 on them, and stays there."""
    draw, x = np.random.default_rng(0), np.zeros((400, 16, 16), np.float32)
    for one, at in enumerate(draw.integers(2, 14, len(x))):
        x[one].T[at, 2:14] = one % 2
        x[one, at, 2:14] += 1 - one % 2
    history = kind(2, epochs=6, batch_size=20, random_state=0, device="cpu").fit(x).run_.history
    seen = [row["train_reconstruction"] for row in history if row.get("train_reconstruction")]
    assert min(seen) < 0.95 * ((x - x.mean(axis=0)) ** 2).sum(axis=(1, 2)).mean()
