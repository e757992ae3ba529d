"""compare_sparsity with its trials made in this process, since starting one takes longer than making it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nervure import data
from nervure.errors import InputError
from nervure.study.compare_sparsity import SparsityComparison, compare_sparsity
from nervure.study.side_by_side import curve
from nervure.study.statistics import against


def compared(base: Path, out: Path, **changes: object) -> SparsityComparison:
    given = {"criteria": ["isparse", "magnitude", "random"], "sparsity": [0.5, 0.8], "seeds": 2, "samples": 100}
    return compare_sparsity(
        base,
        data.load("digits"),
        out=out,
        device="cpu",
        **{"seconds": False, **given, **changes},  # type: ignore[arg-type]
    )


def test_every_criterion_rate_and_seed_is_there_once(base: Path, made: list[str], tmp_path: Path) -> None:
    found = compared(base, tmp_path)
    assert made == ["sparsify"] * 6  # a trial takes all rates
    assert not found.results.failed
    table = found.table()
    assert [row[:3] for row in table.rows] == [
        (name, rate, 2) for rate in (0.5, 0.8) for name in ("isparse", "magnitude", "random")
    ]
    line = dict(zip(table.columns, table.rows[0], strict=True))
    ours, theirs = (found.values(name, 0.5, "accuracy") for name in ("isparse", "random"))
    assert line["accuracy"] == pytest.approx(ours.mean())
    assert line["against random"] == pytest.approx((ours - theirs).mean())
    assert table.rows[2][table.columns.index("against random")] is None
    costs = found.costs()
    assert [row[costs.columns.index("zeros, %")] for row in costs.rows] == pytest.approx([50] * 3 + [80] * 3, abs=0.1)
    assert costs.rows[1][costs.columns.index("as magnitude, %")] == 100
    assert [figure.kind for figure in found.figures()] == ["curve", "table", "table", "curve", "matrix", "curve"]
    matrix = found.figures()[4].values  # type: ignore[attr-defined]
    assert np.allclose(np.diagonal(matrix), 100)
    compared(base, tmp_path)
    assert len(made) == 6  # what is there is not made again


def test_tests_are_of_pairs_and_leave_out_what_seeds_cannot_say(base: Path, made: list[str], tmp_path: Path) -> None:
    found = compared(base, tmp_path, sparsity=[0.5], seconds=True)
    tests = {(one["criterion"], one["control"]): one for one in found.tests()}
    assert set(tests) == {
        ("isparse", "random"), ("isparse", "magnitude"), ("magnitude", "random"), ("random", "magnitude"),
    }  # fmt: skip
    assert tests["magnitude", "random"]["p_t"] is not None
    assert tests["magnitude", "random"]["difference"] == -tests["random", "magnitude"]["difference"]  # type: ignore[operator]
    assert found.costs().rows[0][-1] is not None
    assert found.figures()[-1].title == "Seconds for 10,000 samples"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"criteria": ["isparse", "iparse"]}, "iparse"),
        ({"criteria": ["magnitude", "lottery"]}, "trains the network"),
        ({"criteria": ["random", "random"]}, "name each criterion once"),
        ({"sparsity": [0.5, 1.0]}, "sparsity 1.0"),
        ({"sparsity": []}, "one sparsity"),
        ({"sparsity": [0.5, 0.5]}, "each sparsity once"),
    ],
)
def test_faults_come_before_any_trial(
    base: Path, made: list[str], tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        compared(base, tmp_path, **changes)
    assert made == []


def test_a_curve_has_gaps_and_pairs_are_by_seed() -> None:
    found = curve({"a": [[1.0, 3.0], []]}, [0.1, 0.2], "t", x_label="share")
    assert found.y[0, 0] == 2
    assert np.isnan(found.y[0, 1])
    assert against({0: 1.0}, {1: 2.0}) is None
    pair = against({0: 1.0, 1: 4.0}, {0: 0.0, 1: 1.0})
    assert pair is not None
    assert (pair.n, pair.difference) == (2, 2.0)
