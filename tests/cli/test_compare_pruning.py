from __future__ import annotations

import json
from pathlib import Path

import numpy as np

COMPARED = (
    "--criteria",
    "l1,random",
    "--keep",
    "0.5",
    "--seeds",
    "1",
    "--samples",
    "50",
    "--device",
    "cpu",
    "-o",
    "out",
)


def test_table_page_and_progress(call, here, base: Path, tmp_path: Path) -> None:
    said = call("compare", "pruning", base, *COMPARED)
    assert said.code == 0, said.err
    assert "nan" not in said.err + said.out
    assert "2/2  random keep 0.5, seed 0: " in said.err
    assert "1/1  base, seed 0: done" in said.err
    assert "l1" in said.out
    assert "Criteria side by side" in (tmp_path / "out" / "compare.html").read_text()
    again = call("compare", "pruning", base, *COMPARED, "--json")
    # the worker's own line on stdout stands for a process that was started: none is
    found = json.loads(again.out)
    assert [row["criterion"] for row in found["rows"]] == ["l1", "random"]


def test_faults_are_one_line(call, here, base: Path) -> None:
    assert call("compare", "pruning", base, *COMPARED, "--keep", "half").err.count("\n") == 1
    said = call("compare", "pruning", base, *COMPARED, "--criteria", "l1,votes")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "votes" in said.err


def test_data_with_fewer_classes_from_a_folder_of_its_own(call, here, base: Path, digits, tmp_path: Path) -> None:
    images, labels = digits
    (tmp_path / "shelf").mkdir()
    np.savez(tmp_path / "shelf" / "nine.npz", x=images[labels > 0][:, None], y=labels[labels > 0])
    other = ("--data", "nine.npz", "--data-dir", "shelf")
    accuracy = json.loads(call("evaluate", base, *other, "--json").out)["metrics"]["accuracy"]
    said = call("compare", "pruning", base, *COMPARED, *other, "-q")
    assert said.code == 0, said.err
    assert f"accuracy {100 * accuracy:.4g}" in (tmp_path / "out" / "compare.html").read_text()
