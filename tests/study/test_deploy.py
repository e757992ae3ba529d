from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nervure import data, nets, store
from nervure.data import Dataset
from nervure.errors import InputError, NervureError
from nervure.evidence import Table
from nervure.store import Run
from nervure.study import deploy as room
from nervure.study.deploy import deploy


@pytest.fixture(scope="module")
def ds() -> Dataset:
    return data.load("digits").subset(np.arange(300))


@pytest.fixture
def run(ds: Dataset, tmp_path: Path) -> Run:
    run = Run.of(nets.build("mlp", ds, widths=[4]).eval(), ds)
    store.save(tmp_path / "r", run)
    return run


def test_files_are_checked_on_test_samples(ds: Dataset, run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    files, table = deploy(run, ds, tmp_path / "out", ["safetensors", "pt2"], measure=False, tell=said.append)
    assert table is None
    assert [file.path.name for file in files] == ["model.safetensors", "model.pt2"]
    assert {file.samples for file in files} == {min(64, len(ds.splits["test"]))}
    assert len(said) == 2
    loaded = torch.export.load(tmp_path / "out" / "model.pt2").module()
    raw = torch.from_numpy(ds.x[:7]).float()
    with torch.no_grad():
        expected = run.net(ds.batch(range(7)).x)
    assert torch.allclose(loaded(raw)["logits"], expected, atol=1e-5)


def test_data_in_another_order_of_bytes(ds: Dataset, run: Run, tmp_path: Path) -> None:
    swapped = dataclasses.replace(ds, x=ds.x.astype(ds.x.dtype.newbyteorder(">") if ds.x.itemsize > 1 else ">f4"))
    files, _ = deploy(run, swapped, tmp_path / "out", ["safetensors"], measure=False)
    assert files[0].path.is_file()


def test_padding_reaches_a_network_without_a_mask_as_zeros(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(5, 1, (1, 6 if k % 3 else 12)) for k in range(40)]
    unequal = data.from_arrays(series, np.arange(40) % 2, kind="series")
    run = Run.of(nets.build("mlp", unequal, widths=[4]).eval(), unequal)
    deploy(run, unequal, tmp_path / "out", ["pt2"], measure=False)
    loaded = torch.export.load(tmp_path / "out" / "model.pt2").module()
    raw, mask = unequal.raw(range(8)).float(), torch.from_numpy(np.asarray(unequal.mask[:8]))
    with torch.no_grad():
        expected = run.net(unequal.batch(range(8)).x)
    assert torch.allclose(loaded(raw, mask)["logits"], expected, atol=1e-5)


def test_what_float32_cannot_tell_apart_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stamps = data.from_arrays(1.6e9 + rng.uniform(-30, 30, (40, 3)), np.arange(40) % 2)
    run = Run.of(nets.build("mlp", stamps, widths=[4]).eval(), stamps)
    with pytest.raises(NervureError, match="samples are torch.float64, and files take float32"):
        deploy(run, stamps, tmp_path / "out", ["safetensors"], measure=False)


def test_latency_joins_the_run(ds: Dataset, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def measure(net: nn.Module, sample: Tensor, **options: object) -> Table:
        asked.update(options, shape=tuple(sample.shape))
        return Table(title="Latency", alt="one", columns=("engine", "median ms"), rows=[("eager", 1.0)])

    monkeypatch.setattr(room, "latency_table", measure)
    table = deploy(run, ds, tmp_path / "out", ["safetensors"], batch=3, threads=2)[1]
    assert table is not None
    assert (asked["batch"], asked["threads"], asked["shape"]) == (3, 2, (1, 1, 8, 8))
    assert asked["engines"] == ("eager", "compiled")  # the other engine needs a file that was not asked for
    back = store.load(tmp_path / "r")
    assert back.evidence["latency"].rows[0][0] == "eager"  # type: ignore[attr-defined]


def test_a_file_that_is_refused_leaves_no_folder(
    ds: Dataset, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*arguments: object, **options: object) -> None:
        raise InputError("its answers differ")

    monkeypatch.setattr(room, "write", refuses)
    with pytest.raises(InputError, match="differ"):
        deploy(run, ds, tmp_path / "deep" / "out", ["safetensors"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]
