from __future__ import annotations

import json
from pathlib import Path

import pytest

from nervure import data, nets, store, train
from nervure.train import Recipe


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    ds = data.load("digits")
    train.fit(nets.build("mlp", ds, widths=[16]), ds, Recipe(epochs=1), out=out, device="cpu")
    return out


def test_measures_side_by_side(call, base: Path, other: Path) -> None:
    said = call("compare", base, other)
    assert (said.code, said.err) == (0, "")
    line = next(line for line in said.out.splitlines() if line.strip().startswith("parameters"))
    assert line.split()[:3] == ["parameters", "2,410", "1,210"]
    found = json.loads(call("compare", base, other, base, "--json").out)
    assert [one["metrics"] for one in found] == [store.load(one).metrics for one in (base, other, base)]
    assert [one["run"] for one in found] == [str(base), str(other), str(base)]


def test_runs_on_different_data_are_told_apart(call, base: Path, tmp_path: Path) -> None:
    ds = data.load("digits", seed=1)
    train.fit(nets.build("mlp", ds, widths=[16]), ds, Recipe(epochs=1), out=tmp_path / "else", device="cpu")
    said = call("compare", base, "else")
    assert (said.code, said.err.startswith("nervure: warning: the runs are on different data")) == (0, True)
    assert call("compare", base, "else", "-q").err == ""


def test_bytes_and_sparsity_are_counted_for_the_dense_run(call, base: Path, tmp_path: Path) -> None:
    said = call("sparsify", base, "--criterion", "magnitude", "--sparsity", "0.8", "--device", "cpu", "-o", "thin")
    assert said.code == 0, said.err
    dense, thin = json.loads(call("compare", base, "thin", "--json").out)
    assert dense["metrics"]["sparsity"] == 0
    assert thin["metrics"]["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert dense["metrics"]["bytes"] > 1.5 * thin["metrics"]["bytes"]
    lines = {line.split()[0]: line.split() for line in call("compare", base, "thin").out.splitlines() if line.strip()}
    assert lines["bytes"][3].startswith("−")
    assert lines["sparsity"][3].startswith("+")
    call("compare", base, "thin", "-o", "page.html")
    assert "bytes" in (tmp_path / "page.html").read_text().partition("Cost as a share of base")[2]


def test_page(call, base: Path, other: Path, tmp_path: Path) -> None:
    assert call("compare", base, other, "-o", "page.html").err == "wrote page.html\n"
    assert "small" in (tmp_path / "page.html").read_text()
    assert "page.html exists" in call("compare", base, other, "-o", "page.html").err
    assert call("compare", base, other, "-o", "page.html", "--overwrite", "-q")[::2] == (0, "")


def test_one_run_is_not_enough(call, base: Path) -> None:
    assert call("compare", base) == (2, "", "nervure: compare needs two runs or more\n")
