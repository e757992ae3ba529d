from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nervure import cluster
from nervure.cluster.audition import tried_seeds
from nervure.errors import InputError, InterruptedWork
from nervure.train import Progress


def test_seeds_are_different_and_follow_the_first() -> None:
    assert tried_seeds(3, 4)[0] == 3
    assert tried_seeds(3, 2) == tried_seeds(3, 4)[:2]
    assert len(set(tried_seeds(3, 8))) == 8
    assert tried_seeds(4, 3)[1:] != tried_seeds(3, 3)[1:]


def test_the_seed_with_the_lowest_loss_is_trained() -> None:
    """Its result is that of the seed alone, and no other seed's loss after a fifth was lower."""
    x = blobs()
    settings = {"epochs": 10, "lr": 5e-3}
    tried = cluster.NeuralMixture(3, n_init=3, random_state=0, **settings).fit(x)
    losses = {
        seed: cluster.NeuralMixture(3, n_init=1, random_state=seed, patience=0, **{**settings, "epochs": 2})
        .fit(x)
        .run_.history[-1]
        for seed in tried_seeds(0, 3)
    }
    best = min(losses, key=lambda seed: losses[seed]["train_loss"])
    alone = cluster.NeuralMixture(3, n_init=1, random_state=best, **settings).fit(x)
    assert tried.labels_.tolist() == alone.labels_.tolist()
    assert tried.run_.lineage[0].seed == best


def blobs() -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.concatenate([draw.normal(at, 0.4, size=(50, 2)) for at in ((-3, 0), (3, 0), (0, 4))])


def test_what_goes_on_does_not_try_seeds_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cluster.NeuralMixture(3, n_init=3, random_state=0, epochs=10, lr=5e-3, patience=0)
    whole = model.fit_run(blobs())
    asked = iter([False] * 20)  # 10 epochs of two steps are tried three times for two epochs each
    with pytest.raises(InterruptedWork):
        model.fit_run(blobs(), out=tmp_path / "cut", stop=lambda: next(asked, True))
    monkeypatch.setattr("nervure.cluster.estimator.audition", None)
    resumed = model.fit_run(blobs(), out=tmp_path / "cut", resume=True)
    assert all(torch.equal(one, resumed.net.state_dict()[name]) for name, one in whole.net.state_dict().items())
    again = model.fit_run(blobs(), out=tmp_path / "cut", resume=True)  # it is finished
    assert again.history == resumed.history


def test_an_interrupt_ends_the_trying_too() -> None:
    model = cluster.NeuralMixture(3, n_init=3, random_state=0, epochs=10, lr=5e-3)
    with pytest.raises(InterruptedWork):
        model.fit_run(blobs(), stop=lambda: True)


def test_a_folder_is_refused_before_seeds_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr("nervure.cluster.estimator.audition", None)
    with pytest.raises(InputError, match="no part of a run"):
        cluster.NeuralMixture(3, n_init=3, random_state=0).fit_run(blobs(), out=tmp_path)


def test_progress_names_the_seed_that_is_tried() -> None:
    seen: list[Progress] = []
    cluster.NeuralMixture(3, n_init=2, random_state=0, epochs=5, lr=5e-3).fit_run(blobs(), progress=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == ["seed 1 of 2", "seed 2 of 2", ""]
