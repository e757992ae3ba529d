from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nervure as nv
from nervure.cli.app import _run
from nervure.cli.cluster_count import numbers
from nervure.errors import InputError

SMALL = (
    "--method", "dcae-kmeans", "--epochs", 10, "--batch", 20, "--net-option", "widths=[16]", "--latent", 4,
    "--device", "cpu", "--threads", 1, "--no-figures", "-q",
)  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three groups of four values."""
    draw = np.random.default_rng(0)
    centres = np.array([[0, 0, 0, 0], [6, 0, 6, 0], [0, 6, 0, 6]])
    np.savez(tmp_path / "table.npz", x=centres[np.arange(120) % 3] + draw.normal(0, 0.5, (120, 4)))
    return tmp_path / "table.npz"


def command(*arguments: object) -> int:
    return _run(["cluster", *(str(one) for one in (*arguments, *SMALL))])


def test_a_range_is_tried_and_what_was_chosen_is_fitted(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(table, "-k", "2-4", "--seeds", 2, "-o", tmp_path / "run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["clusters"] == 3
    run = nv.store.load(tmp_path / "run")
    assert run.net.head.clusters == 3
    assert run.evidence["count"].x.tolist() == [2, 3, 4]
    assert [row[-1] for row in run.evidence["counts"].rows] == ["", "yes", ""]
    assert {path.name for path in tmp_path.iterdir()} == {"table.npz", "run"}


def test_seeds_are_held_against_one_another(table: Path, tmp_path: Path) -> None:
    assert command(table, "-k", 3, "--seeds", 2, "-o", tmp_path / "run") == 0
    run = nv.store.load(tmp_path / "run")
    assert 0 < run.metrics["agreement_over_seeds"] <= 1
    assert run.evidence["seeds-agreement"].values.shape == (2, 2)
    assert len(run.evidence["seeds-clusters"].rows) == 3


@pytest.mark.parametrize("wrong", ["0", "1", "1-4", "5-2", "3-3", "2-", "-3", "many", "2.5", ""])
def test_wrong_numbers_are_named(wrong: str) -> None:
    with pytest.raises(InputError, match="-k"):
        numbers(wrong)


def test_none_given_says_how() -> None:
    with pytest.raises(InputError, match="-k 10"):
        numbers(None)


def test_labels_do_not_choose(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "links.csv").write_text("0,3,must\n")
    assert command(table, "-k", "auto", "--links", tmp_path / "links.csv", "-o", tmp_path / "run") == 2
    assert "have no say" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
