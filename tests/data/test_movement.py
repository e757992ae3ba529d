"""The made-up recording has the size, the order and the structure that it says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.cluster import KMeans

from nervure.data import load
from nervure.data.movement import BEHAVIOURS, movement
from nervure.data.windows import slide
from nervure.errors import InputError
from nervure.features.agreement import matched_accuracy


def test_it_has_the_dimensions_of_the_recording_that_it_stands_for() -> None:
    made = movement()
    assert made.values.shape == (158_536, 3)
    assert len(slide(made.values, made.labels).starts) == 10_568
    assert np.isfinite(made.values).all()


def test_bouts_have_their_length_and_order() -> None:
    labels = movement(60_000, seed=3).labels
    edges = np.flatnonzero(np.diff(labels)) + 1
    lengths = np.diff(edges)
    assert lengths.min() >= 200
    assert lengths.max() <= 600
    order = [BEHAVIOURS[one] for one in labels[np.r_[0, edges]]]
    follows = set(itertools.pairwise(order))
    assert follows == {
        ("swim", "descent"), ("descent", "bottom"), ("bottom", "ascent"),
        ("ascent", "swim"), ("ascent", "fly"), ("fly", "swim"),
    }  # fmt: skip


def test_without_noise_each_behaviour_has_its_stroke_frequency() -> None:
    made = movement(20_000, noise=0.0)
    for kind, pace in enumerate((1.2, 3.0, 2.0, 1.6, 5.0)):
        at = np.flatnonzero(made.labels == kind)[:200]
        heave = made.values[at, 2] - made.values[at, 2].mean()
        power = abs(np.fft.rfft(heave * np.hanning(200), 2000))
        assert np.fft.rfftfreq(2000, 1 / 25)[power.argmax()] == pytest.approx(pace, abs=0.1)


def test_windows_can_be_told_apart_but_not_by_chance_or_at_once() -> None:
    made = movement(40_000)
    found = slide(made.values, made.labels)
    x = found.values.reshape(len(found.values), -1)
    clusters = KMeans(5, n_init=2, random_state=0).fit_predict(x)
    assert 0.5 < matched_accuracy(found.labels, clusters) < 0.9


def test_the_same_seed_gives_the_same() -> None:
    assert np.array_equal(movement(900, seed=1).values, movement(900, seed=1).values)
    assert not np.array_equal(movement(900, seed=1).values, movement(900, seed=2).values)
    assert np.array_equal(movement(2000, seed=1).values[:900], movement(900, seed=1).values)


def test_as_a_source() -> None:
    ds = load("movement", n=20_000, standardize="min-max")
    assert (ds.kind, ds.in_shape, ds.names) == ("series", (3, 30), BEHAVIOURS)
    assert load("movement", n=20_000, vedba_length=50).in_shape == (1, 30)
    folded = load("movement", n=20_000, folds=5, fold=1, validation=0)
    assert sorted(folded.splits) == ["test", "train"]
    assert len(folded.splits["test"]) / len(folded) == pytest.approx(0.2, abs=0.02)
    assert "validation" in load("movement", n=20_000, folds=5).splits
    again = load(folded.source, **folded.options)
    assert again.fingerprint == folded.fingerprint


def test_drawn_anew_windows_of_two_splits_share_no_point() -> None:
    ds = load("movement", n=6000, folds=5, resplit=True, standardize=False)
    assert sorted(ds.splits) == ["test", "train", "validation"]
    points = {
        name: {tuple(row) for row in np.moveaxis(ds.x[at], 1, 2).reshape(-1, 3)} for name, at in ds.splits.items()
    }
    for one, other in itertools.combinations(points, 2):
        assert not points[one] & points[other]


def test_a_share_too_small_for_a_window_gives_no_split() -> None:
    ds = load("movement", n=3000, folds=5, validation=0.002)
    assert sorted(ds.splits) == ["test", "train"]


def test_bad_input() -> None:
    with pytest.raises(InputError, match="n = 0"):
        movement(0)
    with pytest.raises(InputError, match="fold = 7; give one from 0 to 4"):
        load("movement", n=5000, folds=5, fold=7)
