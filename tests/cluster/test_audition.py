from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nervure import cluster, data
from nervure.cluster.audition import audition, tried_seeds
from nervure.cluster.method import Method
from nervure.errors import DivergedError, InputError, InterruptedWork
from nervure.train import Progress, Recipe
from nervure.train.recipe import CallbackSpec


def test_seeds_are_different_and_follow_the_first() -> None:
    assert tried_seeds(3, 4)[0] == 3
    assert tried_seeds(3, 2) == tried_seeds(3, 4)[:2]
    assert len(set(tried_seeds(3, 8))) == 8
    assert tried_seeds(4, 3)[1:] != tried_seeds(3, 3)[1:]


def test_the_seed_with_the_lowest_loss_is_trained() -> None:
    """Its result is that of the seed alone, and no other seed's loss after half of it was lower."""
    x = blobs()
    settings = {"epochs": 10, "lr": 5e-3}
    tried = cluster.NeuralMixture(3, n_init=3, random_state=0, **settings).fit(x)
    losses = {
        seed: cluster.NeuralMixture(3, n_init=1, random_state=seed, patience=0, **{**settings, "epochs": 5})
        .fit(x)
        .run_.history
        for seed in tried_seeds(0, 3)
    }
    best = min(losses, key=lambda seed: sum(row["train_loss"] for row in losses[seed][-5:]))
    alone = cluster.NeuralMixture(3, n_init=1, random_state=best, **settings).fit(x)
    assert tried.labels_.tolist() == alone.labels_.tolist()
    assert tried.run_.lineage[0].seed == best


def blobs() -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.concatenate([draw.normal(at, 0.4, size=(50, 2)) for at in ((-3, 0), (3, 0), (0, 4))])


TRIED = 3 * 5 * 2
"""Steps of an audition: three seeds, five of ten epochs each, two batches an epoch."""


@pytest.mark.parametrize(
    ("steps", "stages"),
    [(14, ["seed 2 of 3", "seed 3 of 3", ""]), (TRIED + 8, [""])],
    ids=["while a seed is tried", "while the best is trained"],
)
def test_what_was_interrupted_goes_on(steps: int, stages: list[str], tmp_path: Path) -> None:
    model = cluster.NeuralMixture(3, n_init=3, random_state=0, epochs=10, lr=5e-3, patience=0)
    whole = model.fit_run(blobs())
    asked = iter([False] * steps)
    with pytest.raises(InterruptedWork, match=f"{tmp_path}: go on with --resume"):
        model.fit_run(blobs(), out=tmp_path, stop=lambda: next(asked, True))
    seen: list[Progress] = []
    resumed = model.fit_run(blobs(), out=tmp_path, resume=True, progress=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == stages
    assert all(torch.equal(one, resumed.net.state_dict()[name]) for name, one in whole.net.state_dict().items())
    assert not (tmp_path / "checkpoint").exists()
    again = model.fit_run(blobs(), out=tmp_path, resume=True)  # it is finished
    assert again.history == resumed.history


def test_a_run_is_replaced_when_seeds_were_tried(tmp_path: Path) -> None:
    def model(lr: float) -> cluster.NeuralMixture:
        return cluster.NeuralMixture(3, n_init=2, random_state=0, epochs=4, lr=lr)

    model(5e-3).fit_run(blobs(), out=tmp_path)
    asked = iter([False] * 6)
    with pytest.raises(InterruptedWork):
        model(1e-3).fit_run(blobs(), out=tmp_path, overwrite=True, stop=lambda: next(asked, True))
    run = model(3e-3).fit_run(blobs(), out=tmp_path, overwrite=True)
    assert run.lineage[-1].settings["lr"] == 3e-3


@pytest.mark.parametrize("steps", [14, TRIED + 8], ids=["while a seed is tried", "while the best is trained"])
def test_what_had_no_seed_goes_on_with_the_one_it_began_with(steps: int, tmp_path: Path) -> None:
    model = cluster.NeuralMixture(3, n_init=3, epochs=10, lr=5e-3, patience=0)
    asked = iter([False] * steps)
    with pytest.raises(InterruptedWork):
        model.fit_run(blobs(), out=tmp_path, stop=lambda: next(asked, True))
    seen: list[Progress] = []
    run = model.fit_run(blobs(), out=tmp_path, resume=True, progress=seen.append)
    assert "seed 1 of 3" not in {one.stage for one in seen}
    assert model.fit_run(blobs(), out=tmp_path, resume=True).history == run.history


def test_a_seed_that_diverges_is_out_of_the_running() -> None:
    phase = CallbackSpec(name="cluster-phase", options={"warmup": 4})
    method = Method("autoencoder", "centres", 2, Recipe(seed=0, epochs=10, callbacks=[phase]))
    seeds = tried_seeds(0, 3)

    def train(short: Method, out: Path | None, stage: str) -> SimpleNamespace:
        if short.recipe.seed in bad:
            raise DivergedError("diverged")
        return SimpleNamespace(history=[{"train_loss": float(seeds.index(short.recipe.seed))}])

    bad = seeds[:1]
    assert audition(method, 3, train).recipe.seed == seeds[1]
    bad = seeds
    with pytest.raises(DivergedError):
        audition(method, 3, train)


def test_training_whose_clusters_come_last_is_tried_for_half_of_it() -> None:
    ds = data.from_arrays(blobs(), validation=0, test=0)
    method, tried = cluster.AEKMeans(3, epochs=10).prepared(ds)[1], []

    def train(short: Method, out: Path | None, stage: str) -> SimpleNamespace:
        tried.append((short.recipe.epochs, short.recipe.callbacks[0].options["warmup"]))
        return SimpleNamespace(history=[{"train_loss": 1.0}])

    audition(method, 2, train)
    assert tried == [(5, 5)] * 2


def test_an_interrupt_ends_the_trying_too() -> None:
    model = cluster.NeuralMixture(3, n_init=3, random_state=0, epochs=10, lr=5e-3)
    with pytest.raises(InterruptedWork, match="stopped at seed 1 of 3"):
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


def test_seeds_are_held_against_each_other_by_their_last_five_epochs_after_the_warm_up() -> None:
    phase = CallbackSpec(name="cluster-phase", options={"warmup": 4, "patience": 3, "snapshots": [1], "settle": True})
    method = Method("autoencoder", "centres", 2, Recipe(seed=0, epochs=10, callbacks=[phase]))
    losses = {0: [9.0, 1, 1, 1, 1, 1], 1: [0.0, 2, 2, 2, 2, 0]}  # seeds by number; the second ends lowest
    tried: list[Method] = []

    def train(short: Method, out: Path | None, stage: str) -> SimpleNamespace:
        tried.append(short)
        return SimpleNamespace(history=[{"train_loss": loss} for loss in losses[len(tried) - 1]])

    chosen = audition(method, 2, train)
    assert [one.recipe.seed for one in tried] == tried_seeds(0, 2)
    assert chosen.recipe.seed == 0 and chosen.recipe.epochs == 10
    assert {one.recipe.epochs for one in tried} == {4 + 3}
    quiet = tried[0].recipe.callbacks[0].options
    assert quiet == {"warmup": 4, "patience": 0, "snapshots": [], "settle": False}
