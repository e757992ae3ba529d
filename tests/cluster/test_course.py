from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from nervure import cluster, data
from nervure.cluster.course import last_gain, noise, quality, stop_epoch
from nervure.errors import InputError
from nervure.store import Run

Blobs = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture
def run(blobs: Blobs) -> Run:
    model = cluster.DCAEKMeans(
        3, epochs=12, latent=2, network_options={"widths": [8]}, random_state=0, patience=0, snapshots=(6, 12)
    )
    return model.fit_run(blobs[0])


def test_the_curve_is_the_history(run: Run) -> None:
    curve = quality(run)
    lines = dict(zip(curve.labels, curve.y, strict=True))
    last = run.history[-1]
    assert lines["settled"][-1] == pytest.approx(1 - last["changed"])
    assert lines["confidence"][-1] == pytest.approx(last["confidence"])
    assert lines["evenness"][-1] == pytest.approx(last["effective_clusters"] / 3)
    assert np.allclose(lines["quality"], lines["settled"] * lines["confidence"] * lines["evenness"])
    assert curve.data["inertia"][-1] == pytest.approx(last["inertia"])
    assert np.flatnonzero(np.isfinite(lines["silhouette"])).tolist() == [5, 11]


def test_the_silhouette_of_a_snapshot_is_scikit_learns(run: Run) -> None:
    curve = quality(run)
    latents = run.evidence["snapshot-12"].data["latents"].astype(np.float64)
    theirs = silhouette_score(latents, KMeans(3, n_init=3, random_state=0).fit(latents).labels_)
    assert curve.y[curve.labels.index("silhouette")][-1] == pytest.approx(theirs, abs=1e-3)


@given(st.integers(0, 1000), st.floats(0.01, 0.05))
def test_noise_about_a_slope_is_found(seed: int, size: float) -> None:
    values = np.linspace(0, 1, 400) + np.random.default_rng(seed).normal(0, size, 400)
    assert noise(values) == pytest.approx(size, rel=0.35)


def test_it_stops_where_a_noisy_rise_ends() -> None:
    rise = np.concatenate([np.linspace(0.2, 0.9, 30), np.full(60, 0.9)])
    lucky = rise.copy()
    lucky[2] = 1.0  # one epoch alone is not enough
    assert last_gain(lucky) == last_gain(rise)
    for seed in range(20):
        at = last_gain(rise + np.random.default_rng(seed).normal(0, 0.01, 90))
        assert 25 <= at <= 50
    assert last_gain(np.linspace(0, 1, 50)) >= 48  # still rising
    creeping = np.concatenate([np.linspace(0.2, 0.9, 30), 0.9 + 1e-5 * np.arange(60)])
    assert last_gain(creeping) < 35  # less than one sample of a thousand


def test_clusters_that_died_do_not_count_as_uneven(run: Run) -> None:
    net = copy.deepcopy(run.net)
    net.head.alive[2] = False
    rows = [{**row, "effective_clusters": 2.0} for row in run.history]
    for held, evenness in ((net, 1.0), (run.net, 2 / 3)):
        curve = quality(dataclasses.replace(run, net=held, history=rows))
        assert curve.y[curve.labels.index("evenness")][-1] == pytest.approx(evenness)


def test_labels_make_no_difference(run: Run) -> None:
    poisoned = [{**row, "acc": value, "nmi": value, "ari": value} for value, row in enumerate(run.history)]
    assert stop_epoch(dataclasses.replace(run, history=poisoned)) == stop_epoch(run)


def test_other_runs_are_refused(run: Run) -> None:
    with pytest.raises(InputError, match="clusterer's run"):
        quality(dataclasses.replace(run, history=[{"epoch": 1, "train_loss": 0.5}]))
    with pytest.raises(InputError, match="three epochs"):
        stop_epoch(dataclasses.replace(run, history=run.history[:2]))
    assert quality(dataclasses.replace(run, history=run.history[:2])).y.shape[1] == 2


@pytest.mark.slow  # trains on real digits until the curve is flat
@pytest.mark.parametrize("method", ["dcae-kmeans", "dcae-gmm"])
def test_at_the_stop_accuracy_is_near_its_best(method: str) -> None:
    ds = data.load("digits")
    model = cluster.clusterers.get(method)(10, profile="quick", latent=10, random_state=0, patience=0)
    run = model.fit_run(ds)
    accuracy = {at: row["acc"] for at, row in enumerate(run.history, 1) if "acc" in row}
    assert accuracy[stop_epoch(run)] > max(accuracy.values()) - 0.04
    assert accuracy[stop_epoch(run)] > 0.7
