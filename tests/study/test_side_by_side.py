"""What trials are told of the run that they start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nervure import data, nets, store
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.study.side_by_side import base_settings, placed


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data.load("digits")


def test_another_network_takes_the_place_of_the_one_compared_before(ds: Dataset, tmp_path: Path) -> None:
    for width in (8, 32):
        net = nets.build("mlp", ds, widths=[width])
        held = store.load(placed(net, ds, tmp_path)).net
        assert all(map(torch.equal, held.state_dict().values(), net.state_dict().values()))


def test_a_run_stays_where_it_is(ds: Dataset, base: Path, tmp_path: Path) -> None:
    assert placed(base, ds, tmp_path) == placed(store.load(base), ds, tmp_path) == base
    run = store.Run.of(nets.build("mlp", ds, widths=[8]), ds)
    assert placed(run, ds, tmp_path) == tmp_path / "base"
    assert run.path is None


def test_one_weight_and_one_sample_make_a_difference(ds: Dataset, base: Path, tmp_path: Path) -> None:
    run = store.load(base)
    first = base_settings(run, ds, tmp_path)
    assert first == base_settings(str(base), ds, tmp_path)
    with torch.no_grad():
        next(run.net.parameters())[5, 5] += 1e-3
    assert base_settings(run, ds, tmp_path)["weights"] != first["weights"]
    assert base_settings(run, ds.subset(range(1796)), tmp_path)["fingerprint"] != first["fingerprint"]


def test_arrays_are_refused(ds: Dataset, base: Path, tmp_path: Path) -> None:
    plain = data.from_arrays(ds.x, ds.y)
    with pytest.raises(InputError, match="save the arrays as .npz"):
        placed(base, plain, tmp_path)
