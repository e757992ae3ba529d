"""Data as a run's network reads it, whoever asks."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from nervure import data, nets, store
from nervure.errors import InputError
from nervure.study.run_data import adapted, data_of


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The digits, whole and without the zeros, as ``all.npz`` and ``nine.npz``."""
    ds = data.load("digits")
    x, y = ds.x.reshape(-1, 1, 8, 8), np.asarray(ds.y)
    np.savez(tmp_path / "all.npz", x=x, y=y)
    np.savez(tmp_path / "nine.npz", x=x[y > 0], y=y[y > 0])
    return tmp_path


def test_its_own_data_is_loaded_as_it_was(base: Path) -> None:
    run = store.load(base)
    ds = data_of(run, None, None, {})
    assert (ds.fingerprint, ds.preprocessing) == (run.fingerprint, run.preprocessing)
    assert len(data_of(run, None, None, {"test": 0.5}).indices("test")) == 898


def test_a_change_of_its_own_data_is_told(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = store.load(base)
    run.fingerprint = "another"
    with caplog.at_level(logging.WARNING, "nervure"):
        data_of(run, None, None, {})
    assert "digits is not what it was when" in caplog.text


def test_classes_of_other_data_are_numbered_as_the_run_does(base: Path, parts: Path) -> None:
    run = store.load(base)
    run.options = {"test": 0.5}  # of its own data alone
    ds = data_of(run, "nine.npz", parts, {})
    assert ds.names == run.names
    assert sorted(set(np.asarray(ds.y).tolist())) == list(range(1, 10))
    assert ds.preprocessing == run.preprocessing
    assert len(ds.indices("test")) / len(ds) == pytest.approx(0.2, abs=0.01)


def test_data_of_another_shape_or_with_strange_classes_is_refused(base: Path, parts: Path) -> None:
    run = store.load(base)
    with np.load(parts / "all.npz") as held:
        np.savez(parts / "small.npz", x=held["x"][:, :, :7], y=held["y"])
        np.savez(parts / "strange.npz", x=held["x"], y=held["y"] + 1)
    with pytest.raises(InputError, match=r"small.npz holds image samples of shape \(1, 7, 8\), .* reads image of"):
        data_of(run, "small.npz", parts, {})
    with pytest.raises(InputError, match="knows no class '10'; there are: 0, 1"):
        data_of(run, "strange.npz", parts, {})


def test_rows_without_a_header_are_what_the_run_reads(tmp_path: Path) -> None:
    rows = [f"{one:.2f},{other:.2f}" for one, other in np.random.default_rng(0).normal(size=(30, 2))]
    (tmp_path / "named.csv").write_text("\n".join(["age,height", *rows]))
    (tmp_path / "bare.csv").write_text("\n".join(rows))
    ds = data.load(tmp_path / "named.csv", validation=0, test=0)
    run = store.Run.of(nets.build("mlp", ds, classes=2), ds)
    found = adapted(run, str(tmp_path / "bare.csv"), None, {"task": "none"})
    assert (found.kind, found.in_shape, len(found)) == ("table", (2,), 30)
