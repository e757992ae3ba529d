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


def test_page(call, base: Path, other: Path, tmp_path: Path) -> None:
    assert call("compare", base, other, "-o", "page.html").err == "wrote page.html\n"
    assert "small" in (tmp_path / "page.html").read_text()
    assert "page.html exists" in call("compare", base, other, "-o", "page.html").err
    assert call("compare", base, other, "-o", "page.html", "--overwrite", "-q")[::2] == (0, "")


def test_one_run_is_not_enough(call, base: Path) -> None:
    assert call("compare", base) == (2, "", "nervure: compare needs two runs or more\n")
