from __future__ import annotations

import json
import shutil
from pathlib import Path

from nervure import store


def test_a_page_in_the_runs_own_folder(call, base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, "r")
    for _ in range(2):  # it is written anew each time
        said = call("report", "r")
        assert said == (0, "r/report.html\n", "")
    html = (tmp_path / "r" / "report.html").read_text()
    for part in ("Confusion", "Accuracy", "digits", "<svg", "role=", "Calibration"):
        assert part in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert store.load("r").metrics == store.load(base).metrics


def test_elsewhere(call, base: Path) -> None:
    assert json.loads(call("report", base, "-o", "deep/page.html", "--json").out) == {"page": "deep/page.html"}
    said = call("report", base, "-o", "deep/page.html")
    assert (said.code, said.out) == (2, "")
    assert "deep/page.html exists" in said.err
    assert call("report", base, "-o", "deep/page.html", "--overwrite", "-q").code == 0
    assert call("report", base, "-o", "deep").err == "nervure: deep is a folder; give the name of a file\n"
