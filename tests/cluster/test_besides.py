from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from clusterers import clusterer
from nervure import cluster
from nervure.cluster import phase
from nervure.cluster.besides import label_accuracy, mean_error, within_share
from nervure.cluster.heads import Group
from nervure.data import from_arrays
from nervure.data.batches import Loader


def test_label_accuracy_is_that_of_known_labels_behind_the_reconstruction() -> None:
    net = clusterer(label_outputs=3).train()
    latents = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 4 - 1
    with torch.no_grad():
        predicted = net.label_layer(net.decode(latents)).argmax(dim=1)
    known = labels >= 0
    expected = float((predicted == labels)[known].double().mean())
    assert label_accuracy(net, Group.alone(latents), labels) == pytest.approx(expected)
    assert net.training


def test_where_clusters_stand_for_labels_it_is_of_the_clusters() -> None:
    net = clusterer()
    net.head.centres.copy_(torch.tensor([[0.0, 0], [5, 0], [0, 5]]))
    latents = torch.tensor([[0.1, 0], [5.1, 0], [0, 4.0], [0, 4.5]])
    assert label_accuracy(net, Group.alone(latents), torch.tensor([0, 1, 2, 0])) == 0.75
    assert label_accuracy(net, Group.alone(latents), torch.full((4,), -1)) == 0


def test_within_share_does_not_depend_on_scale_or_place(latents: torch.Tensor) -> None:
    assigned = torch.arange(400) % 4
    middles = torch.stack([latents[assigned == one].double().mean(dim=0) for one in range(4)])
    rest = (latents.double() - middles[assigned]).square().sum() / latents.double().var(0, correction=0).sum() / 400
    for scale, shift in ((1.0, 0.0), (0.01, 3.0)):
        found = within_share(Group.alone(latents * scale + shift), middles * scale + shift, assigned)
        assert found == pytest.approx(float(rest), rel=1e-3)
    assert within_share(Group.alone(torch.zeros(3, 2)), torch.zeros(1, 2), torch.zeros(3, dtype=torch.int64)) == 0


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_mean_error_is_the_variance_of_what_is_there(reduction: str) -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(30, 2, 6))
    x[:10, :, 4:] = np.nan
    ds = from_arrays(x, kind="series", standardize=False, validation=0, test=0)
    apart = (x - np.nanmean(x, axis=0)) ** 2
    each = np.nansum(apart, axis=(1, 2)) if reduction == "sum" else np.nanmean(apart, axis=(1, 2))
    assert mean_error(Loader(ds, "train", 7), reduction) == pytest.approx(each.mean(), rel=1e-5)


def test_a_reconstruction_that_learnt_nothing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    x = np.concatenate([np.random.default_rng(0).normal(at, 0.1, size=(100, 4)) for at in (-3, 3)])
    with caplog.at_level(logging.WARNING):
        cluster.AEKMeans(2, epochs=30, lr=1e-2, network_options={"widths": [8]}, random_state=0).fit(x)
        assert "reconstructed no better" not in caplog.text
        cluster.AEKMeans(2, epochs=1, lr=1e-6, network_options={"widths": [8]}, random_state=0).fit(x)
    assert "reconstructed no better" in caplog.text
    assert "train longer" in caplog.text


@pytest.mark.parametrize(("share", "words"), [(0.97, "hardly better than"), (1.02, "no better than"), (0.9, "")])
def test_how_much_was_learnt_is_said_as_it_is(
    share: float, words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cluster.AEKMeans(2, epochs=1, network_options={"widths": [8]}, random_state=0)
    x = np.random.default_rng(0).normal(size=(40, 4))
    error = model.fit_run(x).history[-1]["train_reconstruction"]
    monkeypatch.setattr(phase, "mean_error", lambda *_: error / share)
    caplog.clear()
    model.fit(x)
    assert ("reconstructed" in caplog.text) == bool(words)
    assert words in caplog.text


def test_warped_distances_are_not_held_against_squared_ones(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase, "mean_error", lambda *_: 1e-9)
    x = np.random.default_rng(0).normal(size=(20, 1, 9))
    shared = {"epochs": 1, "network": "autoencoder", "network_options": {"widths": [8]}, "random_state": 0}
    for distance, said in (("soft-dtw-divergence", False), ("squared", True)):
        cluster.AEKMeans(2, distance=distance, **shared).fit(x)
        assert ("reconstructed" in caplog.text) is said


def test_labels_and_latents_have_their_rows(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = blobs
    model = cluster.DCAEKMeans(3, epochs=40, patience=0, label_weight=5.0, lr=1e-2, latent=2, random_state=0)
    row = model.fit_run(x, labels=np.where(np.arange(150) % 4 == 0, y, -1)).history[-1]
    assert row["label_accuracy"] > 0.9
    assert 0 < row["within_share"] < 0.2
    assert "label_accuracy" not in cluster.DCAEKMeans(3, epochs=1, random_state=0).fit_run(x).history[-1]
