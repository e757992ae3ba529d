"""The table of times is data: it says where sparsity does not pay, and comes back from JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from nervure.errors import InputError
from nervure.sparsify.times import LayerTime, TimeTable


def row(layer: str, ratio: float | None, why: str = "") -> LayerTime:
    dense = None if ratio is None else 1e-4
    sparse = None if ratio is None else ratio * 1e-4
    return LayerTime(
        layer=layer, shape=(8, 4), zeros=0.9, vectors=2, dense=dense, sparse=sparse, ratio=ratio, difference=0.0,
        why=why,
    )  # fmt: skip


@pytest.fixture
def table() -> TimeTable:
    rows = (row("a", 0.25), row("b", 0.97), row("c", 3.0), row("d", None, "too few zeros"), row("e", 0.1, "it differs"))
    return TimeTable(rows=rows, machine="a processor", threads=1, batch=2, runs=30)


def test_only_a_clear_and_right_win_pays(table: TimeTable) -> None:
    assert table.pays == ("a",)


def test_the_figure_says_where_it_does_not_pay(table: TimeTable) -> None:
    figure = table.evidence
    assert figure.alt == ("Sparse kernels pay in a; they do not in b, c, d, e (batch 2, threads 1, a processor).")
    assert [one[-1] for one in figure.rows] == [
        "sparse: 4.0 times as fast", "does not pay: takes 0.97 times the dense time",
        "does not pay: takes 3.00 times the dense time", "dense: too few zeros", "dense: it differs",
    ]  # fmt: skip
    none = table.model_copy(update={"rows": table.rows[1:]})
    assert none.evidence.alt.startswith("Sparse kernels pay in no layer (")


def test_files(table: TimeTable, tmp_path: Path) -> None:
    table.save(tmp_path / "times.json")
    assert TimeTable.load(tmp_path / "times.json") == table
    (tmp_path / "times.json").write_text('{"rows": [], "machine": 3}')
    with pytest.raises(InputError, match=r"times.json: not a table of times \(machine"):
        TimeTable.load(tmp_path / "times.json")
    with pytest.raises(InputError, match="cannot be read"):
        TimeTable.load(tmp_path / "none.json")
