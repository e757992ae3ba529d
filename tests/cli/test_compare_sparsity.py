from __future__ import annotations

import json
from pathlib import Path

import pytest

COMPARED = ("--criteria", "magnitude,random", "--sparsity", "0.5,0.9", "--seeds", "1", "--device", "cpu", "-o", "out")


def test_tables_page_json_and_progress(call, here, base: Path, tmp_path: Path) -> None:
    said = call("compare", "sparsity", base, *COMPARED, "--no-seconds")
    assert said.code == 0, said.err
    assert "nan" not in said.err + said.out
    assert "2/2  random, seed 0: " in said.err
    assert "as magnitude" in said.out
    assert "Agreement of masks at 0.9" in (tmp_path / "out" / "compare.html").read_text()
    kept = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [(row["criterion"], row["sparsity"]) for row in kept["rows"]] == [
        ("magnitude", 0.5), ("random", 0.5), ("magnitude", 0.9), ("random", 0.9),
    ]  # fmt: skip
    assert {"accuracy", "bytes", "zeros, %"} <= set(kept["rows"][0])
    again = call("compare", "sparsity", base, *COMPARED, "--no-seconds", "--json")
    assert json.loads(again.out)["rows"] == kept["rows"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sparsity", "half"), "--sparsity 'half'"),
        (("--sparsity", "1.2"), "sparsity 1.2"),
        (("--criteria", "magnitude,snap"), "snap"),
        (("--criteria", "l1"), "trains the network"),
        (("--ranking", "all"), "--ranking 'all'"),
    ],
)
def test_faults_are_one_line(call, here, base: Path, options: tuple[str, str], words: str) -> None:
    said = call("compare", "sparsity", base, *COMPARED, *options)
    assert (said.code, said.err.count("\n")) == (2, 1), said.err
    assert words in said.err
