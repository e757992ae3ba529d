from __future__ import annotations

import json
from pathlib import Path


def test_what_a_source_holds(call) -> None:
    said = call("data", "digits")
    assert (said.code, said.err) == (0, "")
    lines = {" ".join(line.split()) for line in said.out.splitlines()}
    assert {"samples 1,797", "in test 359", "shape of a sample 1 x 8 x 8"} <= lines
    assert "missing time steps" not in said.out
    found = json.loads(call("data", "digits", "--json").out)
    assert (found["samples"], found["classes"], found["names"]) == (1797, 10, list("0123456789"))
    assert len(found["fingerprint"]) == 64


def test_options_of_the_source(call, photos: Path) -> None:
    found = json.loads(call("data", photos, "--data-option", "size=12", "--data-option", "test=0.5", "--json").out)
    assert found["shape of a sample"] == "1 x 12 x 12"
    assert found["in test"] == 15


def test_a_name_in_a_folder_of_data_sets(call, photos: Path, monkeypatch) -> None:
    assert json.loads(call("data", photos.name, "--data-dir", photos.parent, "--json").out)["samples"] == 30
    monkeypatch.setenv("NERVURE_DATA", str(photos.parent))
    assert json.loads(call("data", photos.name, "--json").out)["samples"] == 30


def test_list(call) -> None:
    found = json.loads(call("data", "--list", "--json").out)
    assert {"digits", "synthetic-shapes", "synthetic-series", "hf:NAME"} <= set(found["sources"])
    assert {".npz", ".npy", ".idx", ".ts", ".arff", ".csv", "folder"} <= set(found["formats"])
    shown = call("data", "--list").out
    for name in [*found["sources"], *found["formats"]]:
        assert name in shown


def test_a_page_with_pictures(call, tmp_path: Path) -> None:
    said = call("data", "digits", "--page", "deep/page.html", "--json")
    assert said.err == "wrote deep/page.html\n"
    assert json.loads(said.out)["samples"] == 1797
    html = (tmp_path / "deep" / "page.html").read_text()
    assert "Data: digits" in html and "data:image/png;base64" in html
    assert call("data", "digits", "-o", "deep/page.html").code == 2
    assert call("data", "digits", "-o", "deep/page.html", "--overwrite", "-q")[::2] == (0, "")


def test_a_source_or_the_list_is_needed(call) -> None:
    assert call("data") == (2, "", "nervure: name a source, or give --list; see: nervure data --help\n")
