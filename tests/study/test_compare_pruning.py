"""compare_pruning with its trials made in this process, since starting one takes longer than making it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nervure import data
from nervure.errors import InputError
from nervure.study.compare_pruning import Comparison, compare_pruning


def compared(base: Path, out: Path, **changes: object) -> Comparison:
    given = {"criteria": ["l1", "random", "majority-vote"], "keep": [0.5, 0.25], "seeds": 2, "samples": 100}
    return compare_pruning(base, data.load("digits"), out=out, device="cpu", **{**given, **changes})  # type: ignore[arg-type]


def test_every_criterion_share_and_seed_is_there_once(base: Path, made: list[str], tmp_path: Path) -> None:
    found = compared(base, tmp_path)
    assert made == ["prune"] * 12 + ["prune-agreement"]
    assert not found.results.failed
    table = found.table()
    assert [row[:3] for row in table.rows] == [
        (name, keep, 2) for keep in (0.5, 0.25) for name in ("l1", "random", "majority-vote")
    ]
    line = dict(zip(table.columns, table.rows[2], strict=True))
    values = [found.values(name, 0.5, "accuracy_recovered") for name in ("majority-vote", "random", "l1")]
    assert line["recovered"] == pytest.approx(values[0].mean())
    assert line["against random"] == pytest.approx((values[0] - values[1]).mean())
    assert line["against l1"] == pytest.approx((values[0] - values[2]).mean())
    assert line["p of l1"] is not None
    assert table.rows[0][table.columns.index("against l1")] is None
    kinds = [figure.kind for figure in found.figures()]
    assert kinds == ["curve", "curve", "scatter", "table", "matrix"]
    assert [*found.figures()[-1].values.diagonal()] == pytest.approx([1, 1, 1])  # type: ignore[attr-defined]
    compared(base, tmp_path)
    assert len(made) == 13  # what is there is not made again


def test_without_controls_or_recovery(base: Path, made: list[str], tmp_path: Path) -> None:
    found = compared(base, tmp_path, criteria=["majority-vote"], keep=[0.5], seeds=1, recover=["none"])
    row = dict(zip(found.table().columns, found.table().rows[0], strict=True))
    assert row["pruned"] == row["recovered"]
    assert not any("against" in name for name in row)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"criteria": ["l1", "l11"]}, "l11"),
        ({"criteria": ["l1", "l1"]}, "name each criterion once"),
        ({"keep": [0.5, 1.5]}, "keep 1.5"),
        ({"keep": []}, "at least one"),
    ],
)
def test_faults_come_before_any_trial(
    base: Path, made: list[str], tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        compared(base, tmp_path, **changes)
    assert made == []
