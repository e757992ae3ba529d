"""What both commands that compare criteria share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SMALL = ("--seeds", "1", "--device", "cpu", "-o", "out")
COMPARED = {
    "pruning": ("--criteria", "l1,random", "--keep", "0.5", "--samples", "50", *SMALL),
    "sparsity": ("--criteria", "magnitude,random", "--sparsity", "0.5,0.9", "--no-seconds", *SMALL),
}

pytestmark = pytest.mark.parametrize("what", COMPARED)


def test_the_page_names_data_settings_and_machine(call, here, base: Path, tmp_path: Path, what: str) -> None:
    assert call("compare", what, base, *COMPARED[what]).code == 0
    html = (tmp_path / "out" / "compare.html").read_text()
    assert "Settings" in html
    assert "digits" in html
    assert "samples" in html
    assert "random: seed" in html
    assert re.search(r"\d threads?, torch", html)
    assert "nervure" in html.rpartition("<footer")[2]


def test_a_network_of_a_function_of_ones_own_is_compared(call, here, tmp_path: Path, what: str) -> None:
    (tmp_path / f"ownnets{what}.py").write_text(
        "from nervure import nets\n\n\ndef small(in_shape, classes):\n"
        "    return nets.build('mlp', in_shape=in_shape, classes=classes, widths=[8])\n"
    )
    made = ("--net", f"ownnets{what}:small")
    assert call("train", "digits", *made, "--epochs", "1", "--device", "cpu", "-o", "own").code == 0
    assert f"--net ownnets{what}:small" in call("compare", what, "own", *COMPARED[what]).err
    said = call("compare", what, "own", *made, *COMPARED[what])
    assert said.code == 0, said.err
