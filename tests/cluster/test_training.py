"""Clusterers trained by the one loop: killed and resumed, on two processes, without labels, and back from a folder."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from killing import KillAt, Killed
from nervure import cluster, data, store
from nervure.cluster import lloyd
from nervure.cluster.estimator import DeepClusterer
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.heads.running import RunningHead
from nervure.cluster.method import begin
from nervure.cluster.runs import fit_together
from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.features.agreement import matched_accuracy
from nervure.train import evaluate, fit, launch

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]

METHODS = {
    "centres": cluster.DCAEKMeans(
        3, epochs=6, batch_size=20, latent=2, network_options={"widths": [8]}, patience=0, random_state=0
    ),
    "mixture": cluster.DCAEGMM(
        3, epochs=6, batch_size=20, warmup=2, latent=2, network_options={"widths": [8]}, random_state=0
    ),
    "two-fold": cluster.NeuralMixture(3, epochs=6, batch_size=20, optimisation="two-fold", random_state=1),
}


def as_dataset(x: NDArray[np.float32]) -> Dataset:
    return data.from_arrays(x, splits={"train": np.arange(len(x))}, validation=0, test=0)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("kill", [9, 30])
def test_killed_and_resumed_equals_uninterrupted(blobs: Blobs, tmp_path: Path, name: str, kill: int) -> None:
    ds, method = METHODS[name].prepared(as_dataset(blobs[0]))
    recipe = method.recipe.model_copy(update={"checkpoint_steps": 1})  # within an epoch too
    net = begin(method, 3, ds)
    whole = fit(net, ds, recipe, out=tmp_path / "whole", device="cpu")
    with pytest.raises(Killed):
        fit(net, ds, recipe, out=tmp_path / "cut", device="cpu", callbacks=[KillAt(kill)])
    resumed = fit(net, ds, recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[KillAt(-1)])
    for name_, value in whole.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name_]), name_
    drop = {"seconds"}
    assert [{k: v for k, v in row.items() if k not in drop} for row in whole.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in resumed.history
    ]


def test_a_run_comes_back_with_the_same_labels(blobs: Blobs, tmp_path: Path) -> None:
    model = cluster.DCAEKMeans(3, epochs=4, latent=2, network_options={"widths": [8]}, random_state=0)
    run = model.fit_run(blobs[0], out=tmp_path / "run")
    loaded = store.load(tmp_path / "run")
    assert loaded.task == "clustering"
    assert loaded.names == ("cluster 0", "cluster 1", "cluster 2")
    again = cluster.DCAEKMeans(3).adopt(loaded)
    assert again.predict(blobs[0]).tolist() == model.labels_.tolist()
    assert np.allclose(again.cluster_centers_, model.cluster_centers_)
    assert run.metrics["clusters"] == loaded.metrics["clusters"] == 3


@pytest.mark.parametrize("kind", [cluster.DCAEKMeans, cluster.DCAEGMM])
def test_a_weight_of_zero_is_the_auto_encoder_alone(blobs: Blobs, kind: type[DeepClusterer]) -> None:
    """To the bit (spec deepcluster, 11)."""
    shared = {"epochs": 3, "latent": 2, "network_options": {"widths": [8]}, "random_state": 0}
    zero = kind(3, weight=0.0, warmup=0, **shared).fit(blobs[0])
    alone = kind(3, warmup=3, **shared).fit(blobs[0])
    for one, other in zip(zero.net_.encoder.parameters(), alone.net_.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("warmup", "phases"), [(0, [1, 2, 3, 4]), (2, [1, 2])])
def test_clusters_move_once_an_epoch(
    blobs: Blobs, warmup: int, phases: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In closed form, after the epoch, from where the untrained latents or those of the warm-up put them."""
    seen: list[int] = []
    last: list[bool] = []
    refresh, begin_ = CentresHead.refresh, CentresHead.begin
    monkeypatch.setattr(
        CentresHead,
        "refresh",
        lambda head, group, epoch: (seen.append(epoch), last.append(group.last), refresh(head, group, epoch))[2],
    )
    monkeypatch.setattr(CentresHead, "begin", lambda head, group: (seen.append(0), begin_(head, group))[1])
    cluster.DCAEKMeans(
        3, epochs=4, warmup=warmup, latent=2, network_options={"widths": [8]}, patience=0, random_state=0
    ).fit(blobs[0])
    assert seen == [0, *phases]
    assert last == [False] * (len(phases) - 1) + [True]


def test_training_that_ends_since_hardly_a_sample_moves_says_so_once(
    blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    shared = {"lr": 1e-5, "latent": 2, "network_options": {"widths": [8]}, "random_state": 0}
    with caplog.at_level(logging.INFO, "nervure"):
        history = cluster.DCAEKMeans(3, epochs=30, **shared).fit_run(blobs[0]).history
    said = "ended after 6 of 30 epochs: hardly a sample changed its cluster for 5 of them; patience=0 goes on"
    assert [row.get("ended") for row in history] == [None] * 5 + [said]
    levels = [record.levelname for record in caplog.records if said in record.getMessage()]
    assert levels == ["INFO"]
    assert "train on with patience=0, or with another lr" in caplog.text
    caplog.clear()
    for epochs, patience in ((6, 5), (8, 0)):  # to the last epoch
        run = cluster.DCAEKMeans(3, epochs=epochs, patience=patience, **shared).fit_run(blobs[0])
        assert len(run.history) == epochs
        assert "ended" not in run.history[-1]
    assert "train longer, or with another lr" in caplog.text and "patience=0" not in caplog.text


@pytest.mark.parametrize("why", ["tolerance", "repairs"])
def test_training_goes_on_where_no_sample_may_move_or_clusters_were_repaired(
    blobs: Blobs, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cluster.DCAEKMeans(
        3, epochs=5, patience=2, lr=1e-9, latent=2, network_options={"widths": [8]}, random_state=0
    )
    ds, method = model.prepared(as_dataset(blobs[0]))
    assert len(fit(begin(method, 3, ds), ds, method.recipe, device="cpu").history) < 5
    recipe, refresh = method.recipe, CentresHead.refresh
    if why == "tolerance":  # less than this share must move, and none is not less than none
        phase = recipe.callbacks[0]
        still = phase.model_copy(update={"options": {**phase.options, "tolerance": 0.0}})
        recipe = recipe.model_copy(update={"callbacks": (still,)})
    else:
        monkeypatch.setattr(
            CentresHead,
            "refresh",
            lambda head, group, epoch: dataclasses.replace(
                refresh(head, group, epoch), repaired=("cluster 0 reseeded",)
            ),
        )
    assert len(fit(begin(method, 3, ds), ds, recipe, device="cpu").history) == 5


def test_a_resumed_training_ends_as_early_and_keeps_its_snapshots(blobs: Blobs, tmp_path: Path) -> None:
    model = cluster.DCAEKMeans(
        3,
        epochs=30,
        batch_size=50,
        lr=1e-9,
        latent=2,
        network_options={"widths": [8]},
        random_state=0,
        snapshots=(0, 2),
    )
    ds, method = model.prepared(as_dataset(blobs[0]))
    net = begin(method, 3, ds)
    whole = fit(net, ds, method.recipe, device="cpu")
    with pytest.raises(Killed):
        fit(net, ds, method.recipe, out=tmp_path / "cut", device="cpu", callbacks=[KillAt(14)])
    resumed = fit(net, ds, method.recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[KillAt(-1)])
    assert len(resumed.history) == len(whole.history) < 30
    for name in ("snapshot-0", "snapshot-2"):
        assert np.array_equal(resumed.evidence[name].data["latents"], whole.evidence[name].data["latents"])


def test_latents_of_a_warm_up_are_kept_too(blobs: Blobs) -> None:
    shared = {"latent": 2, "network_options": {"widths": [8]}, "random_state": 0, "patience": 0}
    run = cluster.DCAEKMeans(3, epochs=4, warmup=2, snapshots=(0, 1, 3), **shared).fit_run(blobs[0])
    assert [name for name in run.evidence if name.startswith("snapshot")] == ["snapshot-0", "snapshot-1", "snapshot-3"]
    assert [row.get("changed") for row in run.history[:2]] == [None, 1.0]  # all clusters are new
    assert run.net.head.stored is None
    base = begin(cluster.DCAEKMeans(3, **shared).prepared(as_dataset(blobs[0]))[1], 3, as_dataset(blobs[0]))
    untrained = cluster.DCAEKMeans(3).adopt(dataclasses.replace(run, net=base)).transform(blobs[0])
    assert np.allclose(run.evidence["snapshot-0"].data["latents"], untrained, atol=1e-5)


def test_the_score_is_minus_the_loss_of_a_sample_without_its_labels(blobs: Blobs) -> None:
    x = np.concatenate([blobs[0], blobs[0] + 0.5])  # more than one batch, of which the last is smaller
    shared = {"epochs": 2, "weight": 0.3, "reduction": "sum", "latent": 2, "network_options": {"widths": [8]}}
    for given in (None, np.arange(300) % 3):
        model = cluster.DCAEKMeans(3, random_state=0, **shared).fit(x, labels=given)
        latents, net = model.transform(x), model.net_
        with torch.no_grad():
            out = net.decode(torch.from_numpy(latents)).numpy()
        read = as_scaled(model, x)
        near = ((latents[:, None] - model.cluster_centers_) ** 2).sum(axis=2).min(axis=1)
        expected = ((out - read) ** 2).sum(axis=1).mean() + 0.3 * near.mean()
        assert model.score(x) == pytest.approx(-expected, rel=1e-4)


def as_scaled(model: DeepClusterer, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network reads."""
    return model.run_.preprocessing(torch.from_numpy(x)).numpy()


def test_centres_are_found_anew_from_the_epoch_in_which_they_begin(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    full = lloyd.full
    monkeypatch.setattr(lloyd, "full", lambda some, clusters, seed: (seeds.append(seed), full(some, clusters, seed))[1])
    shared = {"latent": 2, "network_options": {"widths": [8]}, "patience": 0, "random_state": 0}
    cluster.DCAEKMeans(3, epochs=6, warmup=2, refit_epochs=3, **shared).fit(blobs[0])
    assert seeds == [1, 2, 3]


def test_other_labels_do_not_go_on_with_a_run(blobs: Blobs, tmp_path: Path) -> None:
    x, y = blobs
    model = cluster.DCAEKMeans(3, epochs=1, latent=2, network_options={"widths": [8]}, random_state=0)
    model.fit_run(x, labels=y, out=tmp_path / "told")
    model.fit_run(x, labels=y, out=tmp_path / "told", resume=True)
    for other in ((y + 1) % 3, np.where(np.arange(len(y)) < 9, y, -1), None):
        with pytest.raises(InputError, match="was trained with another recipe: objective_options|another network"):
            model.fit_run(x, labels=other, out=tmp_path / "told", resume=True)


def test_clusters_are_of_unchanged_samples(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """S8: what is augmented is learnt from, and clean samples are assigned."""
    refresh, ds = CentresHead.refresh, as_dataset(blobs[0])
    model = cluster.DCAEKMeans(
        3, epochs=2, augment={"jitter": 2.0}, latent=2, network_options={"widths": [8]}, patience=0, random_state=0
    )  # fmt: skip
    ready, method = model.prepared(ds)
    net = begin(method, 3, ready)
    held: list[torch.Tensor] = []
    monkeypatch.setattr(
        CentresHead, "refresh", lambda head, group, epoch: (held.append(group.latents), refresh(head, group, epoch))[1]
    )
    run = fit(net, ready, method.recipe, device="cpu")
    with torch.no_grad():
        clean = run.net.eval().encode(ready.batch(ready.indices("train")).x)
    assert torch.allclose(held[-1], clean, atol=1e-5)


def test_centres_follow_unchanged_samples(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    move, ds, held = RunningHead.move, as_dataset(blobs[0]), []
    monkeypatch.setattr(
        RunningHead,
        "move",
        lambda head, latents, index, reduce: (held.append((latents, index)), move(head, latents, index, reduce))[1],
    )
    model = cluster.DCN(
        3, epochs=2, warmup=1, lr=1e-30, augment={"jitter": 2.0}, latent=2, network_options={"widths": [8]}, patience=0,
        random_state=0, device="cpu",
    )  # fmt: skip
    ready, method = model.prepared(ds)
    run = fit(begin(method, 3, ready), ready, method.recipe, device="cpu")
    latents, index = held[-1]
    with torch.no_grad():
        clean = run.net.eval().encode(ready.batch(index.numpy()).x)
    assert torch.allclose(latents, clean, atol=1e-5)


def test_a_latent_has_a_unit_for_each_cluster_unless_told(blobs: Blobs) -> None:
    for kind in (cluster.DCAEKMeans, cluster.DCAEGMM):
        assert kind(5, profile="paper").prepared(as_dataset(blobs[0]))[1].latent == 5
        assert kind(5, profile="paper", latent=3).prepared(as_dataset(blobs[0]))[1].latent == 3


def test_changes_and_labels_that_weigh_nothing_leave_the_plain_method(blobs: Blobs) -> None:
    shared = {"epochs": 3, "latent": 2, "network_options": {"widths": [8]}, "random_state": 0}
    plain = cluster.DCAEKMeans(3, **shared).fit(blobs[0])
    other = cluster.DCAEKMeans(3, augment={"jitter": 0.0}, label_weight=0.0, **shared).fit(blobs[0], labels=blobs[1])
    assert plain.labels_.tolist() == other.labels_.tolist()
    assert np.array_equal(plain.transform(blobs[0]), other.transform(blobs[0]))


@pytest.mark.parametrize("model", METHODS.values(), ids=list(METHODS))
def test_labels_of_the_data_are_never_read(blobs: Blobs, model: DeepClusterer) -> None:
    x, y = blobs
    found = []
    for labels in (y, np.random.default_rng(5).permutation(y)):
        ds = data.from_arrays(x, labels, splits={"train": np.arange(len(x))}, validation=0, test=0)
        prepared, method = model.prepared(ds)
        found.append(fit(begin(method, 3, prepared), prepared, method.recipe, device="cpu"))
    one, other = (run.net.state_dict() for run in found)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert found[0].history[-1]["acc"] != found[1].history[-1]["acc"]


def test_labels_supervise_where_they_are_given(blobs: Blobs) -> None:
    """Groups that the data does not show are found when a few labels say them."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 6)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    shared = {"epochs": 60, "latent": 2, "network_options": {"widths": [32]}, "random_state": 0, "patience": 0}
    blind = cluster.DCAEKMeans(2, **shared).fit(x)
    taught = cluster.DCAEKMeans(2, label_weight=5.0, **shared).fit(x, labels=y)
    misled = cluster.DCAEKMeans(2, label_weight=5.0, **shared).fit(x, labels=draw.permutation(y))

    def right(model: DeepClusterer) -> float:
        share = float((model.labels_ == y).mean())
        return max(share, 1 - share)

    assert right(blind) < 0.65
    assert right(misled) < 0.65
    assert right(taught) > right(blind) + 0.15


def test_labels_that_supervise_are_not_those_that_measure(blobs: Blobs) -> None:
    """Agreement is with the labels of the data, on all its samples, whatever the fit was told."""
    x, y = blobs
    known = np.where(np.arange(len(y)) % 5 == 0, y, -1)
    shared = {"epochs": 4, "latent": 2, "network_options": {"widths": [8]}, "random_state": 0, "patience": 0}
    runs = []
    for own in (y, np.random.default_rng(5).permutation(y)):
        ds = data.from_arrays(x, own, splits={"train": np.arange(len(x))}, validation=0, test=0)
        model = cluster.DCAEKMeans(3, **shared)
        runs.append(model.fit_run(ds, labels=known))
        found = evaluate(runs[-1], ds, split="train").metrics
        assert runs[-1].metrics["acc"] == found["acc"] == matched_accuracy(own, model.labels_)
        assert {"acc", "train_labels"} <= set(runs[-1].history[-1])
    one, other = (run.net.state_dict() for run in runs)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert "acc" not in cluster.DCAEKMeans(3, **shared).fit_run(x, labels=known).metrics


@pytest.mark.parametrize("kind", [cluster.NeuralMixture, cluster.IIC])
def test_labels_need_as_many_clusters_where_clusters_stand_for_them(blobs: Blobs, kind: type[DeepClusterer]) -> None:
    with pytest.raises(InputError, match="3 of them for n_clusters=2"):
        kind(2, epochs=1).fit(blobs[0], labels=blobs[1])


# two processes train beside this one
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.usefixtures("together")
def test_two_processes_cluster_as_one_does(tmp_path: Path) -> None:
    ds = data.load("digits", standardize="each-min-max", validation=0, test=0)
    models = {
        "kmeans": cluster.DCAEKMeans(
            10, epochs=2, batch_size=127, network="autoencoder", network_options={"widths": [32]}, patience=0
        ),
        "gmm": cluster.DCAEGMM(
            10, epochs=3, warmup=1, batch_size=127, network="autoencoder", network_options={"widths": [32]}, patience=0,
            restore={},
        ),
        # one epoch, for rounding grows
        "restoring": cluster.DCAEKMeans(
            10, epochs=1, batch_size=127, network="autoencoder", network_options={"widths": [32]}, patience=0,
            restore={"shift": 0.1},
        ),
    }  # fmt: skip
    for name, model in models.items():
        model.random_state = 0
        prepared, method = model.prepared(ds)
        net = begin(method, 10, prepared)
        one = fit(net, prepared, method.recipe, device="cpu")
        two = launch.train(net, prepared, method.recipe, out=tmp_path / name, devices=2, threads=1, device="cpu")
        assert one.history[-1]["clusters"] == two.history[-1]["clusters"]
        for key, value in one.net.state_dict().items():
            assert float((value.double() - two.net.state_dict()[key].double()).abs().max()) < 1e-3, (name, key)


def test_links_come_back_with_a_checkpoint(blobs: Blobs, tmp_path: Path) -> None:
    """What samples belong to, which links ask of the last phase, survives a kill in mid-epoch."""
    model = METHODS["centres"]
    links = {"must": [[0, 3], [1, 4]], "cannot": [[0, 1], [2, 4]]}
    ds, method = model.prepared(as_dataset(blobs[0]), links=links)
    weighed = cluster.DCAEKMeans(3, link_weight=0.25).prepared(as_dataset(blobs[0]), links=links)[1]
    assert weighed.recipe.objective_options["link_weight"] == 0.25
    recipe = method.recipe.model_copy(update={"checkpoint_steps": 3})
    net = begin(method, 3, ds)
    whole = fit(net, ds, recipe, device="cpu")
    with pytest.raises(Killed):
        fit(net, ds, recipe, out=tmp_path / "cut", device="cpu", callbacks=[KillAt(21)])
    resumed = fit(net, ds, recipe, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[KillAt(-1)])
    assert whole.history[-1]["train_links"] == resumed.history[-1]["train_links"]
    assert all(torch.equal(one, resumed.net.state_dict()[name]) for name, one in whole.net.state_dict().items())


# two processes train beside this one
@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.usefixtures("together")
def test_two_processes_learn_from_some_labels_as_one_does(tmp_path: Path) -> None:
    """The mean is over all labels that are known, however they fall to the processes."""
    ds = data.load("digits", standardize="each-min-max", validation=0, test=0, resplit=False)
    labels = data.keep_labels(ds.y, 0.2)
    model = cluster.DCAEKMeans(
        10, epochs=2, batch_size=127, network="autoencoder", network_options={"widths": [32]}, random_state=0
    )
    one = model.fit_run(ds, labels=labels)
    two = fit_together(model, ds, labels=labels, out=tmp_path / "two", devices=2, threads=1)
    for name, value in one.net.state_dict().items():
        assert float((value.double() - two.net.state_dict()[name].double()).abs().max()) < 1e-4, name
