"""What trials start from is what was given, or the trial is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nervure import data, nets, store, train
from nervure.errors import InputError
from nervure.nets.digest import weights_digest
from nervure.study.base import base_of
from nervure.study.trials import Job
from nervure.train import Recipe


def test_the_run_and_its_data_are_held_against_what_was_given(base: Path) -> None:
    ds = data.load("digits")
    given = {"weights": weights_digest(store.load(base).net, None), "fingerprint": ds.fingerprint}
    run, found = base_of(Job("digits"), str(base), None, **given)
    assert (found.fingerprint, found.preprocessing) == (ds.fingerprint, run.preprocessing)
    with pytest.raises(InputError, match="holds other weights than were given") as refused:
        base_of(Job("digits"), str(base), None, **{**given, "weights": "another"})
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(InputError, match="digits: trials load other data from it than was given"):
        base_of(Job("digits"), str(base), None, **{**given, "fingerprint": ds.subset(np.arange(300)).fingerprint})


def test_options_of_the_run_are_of_its_own_data_alone(tmp_path: Path) -> None:
    ds = data.load("digits", test=0.5)
    x, y = ds.x, np.asarray(ds.y)
    np.savez(tmp_path / "nine.npz", x=x[y > 0], y=y[y > 0])
    run = train.fit(nets.build("mlp", ds, widths=[8]), ds, Recipe(epochs=1), out=tmp_path / "run", device="cpu")
    own, other = (base_of(Job(name, data_dir=str(tmp_path)), str(run.path), None)[1] for name in ("digits", "nine.npz"))
    assert own.fingerprint == ds.fingerprint
    assert other.names == run.names
    assert len(other.indices("test")) / len(other) == pytest.approx(0.2, abs=0.01)
    # with a fingerprint the options are complete, also where the source is the run's own
    usual = data.load("digits")
    assert base_of(Job("digits"), str(run.path), None, fingerprint=usual.fingerprint)[1].splits.keys() == {
        "train", "validation", "test",
    }  # fmt: skip


def test_a_network_trained_for_all_has_the_preprocessing_that_it_was_trained_with(tmp_path: Path) -> None:
    training: dict[str, object] = {"net": "mlp", "net_options": {"widths": [4]}, "recipe": {"epochs": 1}}
    job = Job("digits", device="cpu", cache=str(tmp_path))
    run, ds = base_of(job, None, training)
    again = base_of(Job("digits", {"standardize": False}, device="cpu", cache=str(tmp_path)), None, training)
    assert ds.preprocessing == run.preprocessing == again[1].preprocessing
