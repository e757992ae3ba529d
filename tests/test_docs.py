"""What the README and the docs say is run: every block of code, in a folder of its own, page by page.

Python blocks of a page share their names. A block with a title is written to a file of that name. In shell blocks
``nervure`` runs in this process. A block that cannot run here says why, with ``not-run="..."`` beside its language.
"""

from __future__ import annotations

import doctest
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest

import nervure
from nervure.cli import main
from nervure.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```\s*\{?\s*\.?(?P<language>\w+)?(?P<info>[^\n]*)\n(?P<code>.*?)^```\s*$", re.M | re.S)
KNOWN = {"python", "shell", "toml", "json", "text"}


class Block(NamedTuple):
    """One block of code of a page."""

    language: str
    code: str
    line: int
    title: str
    reason: str


def blocks(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        info = dict(re.findall(r'([\w-]+)="([^"]*)"', match["info"]))
        reason = info.get("not-run", info.get("data-not-run", ""))
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(Block(match["language"] or "", match["code"], line, info.get("title", ""), reason))
    return found


WITH_CODE = [page for page in PAGES if any(one.language in {"python", "shell"} for one in blocks(page.read_text()))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


class TestBlocks:
    def test_are_found_with_their_language_title_and_reason(self) -> None:
        text = (
            'a\n```python title="b.py"\nx\n```\n```{ .shell data-not-run="why" }\ny\n```\n```shell not-run="z"\n```\n'
        )
        assert blocks(text) == [
            Block("python", "x\n", 3, "b.py", ""),
            Block("shell", "y\n", 6, "", "why"),
            Block("shell", "", 9, "", "z"),
        ]

    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_have_a_language_that_is_known(self, page: Path) -> None:
        text = page.read_text()
        found = blocks(text)
        assert text.count("\n```") + text.startswith("```") == 2 * len(found)
        for block in found:
            assert block.language in KNOWN, f"{name_of(page)}:{block.line}"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: a folder of pictures, new ones, and a trained run."""
    from PIL import Image

    place = tmp_path_factory.mktemp("workshop")
    rng = np.random.default_rng(0)
    for name, bright in (("cat", 60), ("dog", 160)):
        (place / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.normal(bright, 30, (20, 24, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "photos" / name / f"{number:04}.png")
    shutil.copytree(place / "photos" / "dog", place / "new")
    ds = nervure.data.load("digits")
    recipe = nervure.train.Recipe(epochs=3, lr=0.003)
    nervure.train.fit(nervure.nets.build("lenet5", ds), ds, recipe, out=place / "runs" / "base", device="cpu")
    return place


@pytest.fixture
def desk(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workshop to work in; modules that a page wrote are forgotten at the end."""
    shutil.copytree(workshop, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    bin_ = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def run_shell(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["export"]:
            for pair in words[1:]:
                monkeypatch.setenv(*pair.split("=", 1))
        elif words[:1] == ["nervure"] and not set("|><&;$") & set(line):
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 0, line
        elif words:
            subprocess.run(["bash", "-euo", "pipefail", "-c", line], check=True)


def run_python(code: str, names: dict[str, object], where: str, line: int) -> None:
    if code.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(code, names, where, where, line - 1)
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False).failed == 0
        return
    exec(compile("\n" * (line - 1) + code, where, "exec"), names)


# slow: each page trains or exports a little, and the guide has ten
@pytest.mark.slow
@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_code_of_a_page_runs(page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"__name__": "__page__"}
    if page.name in {"README.md", "index.md"}:
        shutil.rmtree(desk / "runs")  # these pages begin with nothing
    for block in blocks(page.read_text()):
        if block.reason:
            continue
        if block.title:
            (desk / block.title).write_text(block.code)
        elif block.language == "python":
            run_python(block.code, names, str(page), block.line)
        elif block.language == "shell":
            run_shell(block.code, monkeypatch)
        elif block.language == "toml":
            tomllib.loads(block.code)
        elif block.language == "json":
            json.loads(block.code)


def test_every_room_has_a_page_of_its_api() -> None:
    rooms = {name for name in nervure.__all__ if not name.startswith("__")}
    pages = {page.stem for page in (ROOT / "docs" / "api").glob("*.md")}
    assert rooms <= pages, f"docs/api lacks {sorted(rooms - pages)}"
    nav = (ROOT / "mkdocs.yml").read_text()
    assert all(f"api/{page}.md" in nav for page in pages)


def groups_of_the_code() -> set[str]:
    source = "\n".join(file.read_text() for file in (ROOT / "src" / "nervure").rglob("*.py"))
    return set(re.findall(r'group="(nervure\.[\w-]+)"', source))


def test_groups_and_rooms_that_contributing_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`(nervure\.[a-z]+)`", text))
    assert "nervure.criteria" in named
    assert named <= groups_of_the_code()
    rooms = set(nervure.__all__) - {"__version__", "prune"}
    assert all(re.search(rf"\b{room}\b", text) for room in rooms)


def test_citation_names_four_theses() -> None:
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= cited.keys()
    assert cited["version"] == nervure.__version__
    theses = [one for one in cited["references"] if one["type"] == "thesis"]
    assert [one["authors"][0]["family-names"] for one in theses] == ["Alqahtani", "Al Dallal", "Garg", "Tissera"]
    assert all(one["institution"]["name"] and 2020 <= one["year"] <= 2023 and one["title"] for one in theses)


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def study(**changes: object) -> dict[str, object]:
    row = {"arm": "base", "measure": "accuracy", "unit": "%", "published": 99.0, "ours": 98.256, "sd": 0.1, "n": 3,
           "difference": -0.744, "place": "Table 1"}  # fmt: skip
    machine = {"device": "cpu", "cpu": "one", "threads": 1, "torch": "2"}
    return {"study": "a", "what": "b", "profile": "cpu", "size": "c", "settings": {"base": {}}, "table": [row],
            "environments": [machine], "missing": 0, **changes}  # fmt: skip


class TestTables:
    """``scripts/tables.py``."""

    def test_are_what_the_results_say(self, tables: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        code = tables.main(["--check"])
        assert code == 0, capsys.readouterr().out

    def repository(self, place: Path, text: str) -> Path:
        (place / "docs").mkdir()
        (place / "benchmarks" / "results").mkdir(parents=True)
        (place / "README.md").write_text(text)
        return place

    def test_are_written_and_then_pass_the_check(self, tables: ModuleType, tmp_path: Path) -> None:
        root = self.repository(tmp_path, "a\n<!-- table:studies.cpu -->\nold\n<!-- /table -->\nb\n")
        (root / "benchmarks" / "results" / "a.cpu.json").write_text(json.dumps(study()))
        assert tables.main(["--check", "--root", str(root)]) == 1
        assert "old" in (root / "README.md").read_text()
        assert tables.main(["--root", str(root)]) == 0
        assert tables.main(["--check", "--root", str(root)]) == 0
        text = (root / "README.md").read_text()
        assert text.startswith("a\n") and text.endswith("b\n") and "old" not in text
        assert "| 98.26 ± 0.10 [99.00] |" in text
        assert "In brackets: Table 1." in text
        assert "nervure reproduce NAME --profile cpu" in text

    def test_never_mix_profiles(self, tables: ModuleType, tmp_path: Path) -> None:
        (tmp_path / "a.cpu.json").write_text(json.dumps(study()))
        (tmp_path / "a.gpu.json").write_text(json.dumps(study(profile="gpu", study="other")))
        assert "other" not in tables.table("studies.cpu", tmp_path)
        assert "### other" in tables.table("studies.gpu", tmp_path)

    def test_say_what_is_missing(self, tables: ModuleType, tmp_path: Path) -> None:
        assert "No study of the profile `gpu`" in tables.table("studies.gpu", tmp_path)
        (tmp_path / "a.cpu.json").write_text(json.dumps(study(missing=2)))
        assert "2 trials are missing" in tables.table("studies.cpu", tmp_path)

    def test_leave_out_and_count_figures_that_were_not_measured(self, tables: ModuleType, tmp_path: Path) -> None:
        found = study()
        [row] = found["table"]  # type: ignore[misc]
        empty = {**row, "measure": "later", "ours": None, "sd": None, "n": 0, "difference": None, "place": "Table 2"}
        (tmp_path / "a.cpu.json").write_text(json.dumps({**found, "table": [row, empty]}))
        text = tables.table("studies.cpu", tmp_path)
        assert "later" not in text and "Table 2" not in text
        assert "one figure is not measured" in text

    def test_have_arms_as_lines_and_a_table_for_each_sweep(self, tables: ModuleType, tmp_path: Path) -> None:
        row = {"unit": "%", "published": None, "sd": None, "n": 1, "difference": None, "place": ""}
        made = {("a", "size"): 1.0, ("b", "size"): 2.0, ("a", "hit 1"): 3.0, ("a", "hit 2"): 4.0, ("b", "hit 1"): 5.0}
        rows = [{**row, "arm": arm, "measure": measure, "ours": value} for (arm, measure), value in made.items()]
        (tmp_path / "a.cpu.json").write_text(json.dumps(study(settings={"a": {}, "b": {}}, table=rows)))
        text = tables.table("studies.cpu", tmp_path)
        assert "|  | size (%) |\n| --- | --- |\n| a | 1.00 |\n| b | 2.00 |\n" in text
        assert "| hit (%) | a | b |\n| --- | --- | --- |\n| 1 | 3.00 | 5.00 |\n| 2 | 4.00 |  |\n" in text

    def test_of_one_arm_have_a_column_for_each_first_word(self, tables: ModuleType, tmp_path: Path) -> None:
        row = {"arm": "base", "unit": "", "published": None, "sd": None, "n": 1, "difference": None, "place": ""}
        made = {"whole": 1.0, "cut l1": 2.0, "kept l1": 3.0, "cut random": 4000.0, "kept random": 0.01234}
        rows = [{**row, "measure": measure, "ours": value} for measure, value in made.items()]
        (tmp_path / "a.cpu.json").write_text(json.dumps(study(table=rows)))
        text = tables.table("studies.cpu", tmp_path)
        assert "| whole |\n| --- |\n| 1.00 |\n" in text
        assert "|  | cut | kept |\n| --- | --- | --- |\n| l1 | 2.00 | 3.00 |\n| random | 4,000 | 0.012 |\n" in text

    def test_say_which_trials_failed(self, tables: ModuleType) -> None:
        made = [{"error": None}, {"error": "no luck"}, {"error": "no luck"}]
        assert "failed" not in tables.section(study(trials=made[:1]))
        assert "measured with 3 seeds; 1 trial failed." in tables.section(study(trials=made[:2]))
        assert "measured with 3 seeds; 2 trials failed." in tables.section(study(trials=made))

    def test_have_the_notes_of_their_study_under_them(self, tables: ModuleType) -> None:
        assert "`random`" not in tables.section(study())
        text = tables.section(study(study="prune-compare-mnist"))
        assert text.index("`random`: the mean of three draws a seed.") > text.index("98.26")
        told = tables.section(study(notes={"mine": "drawn twice", "other": "drawn once"}))
        assert "\n`mine`: drawn twice; `other`: drawn once.\n" in told

    def test_of_seconds_say_how_they_were_measured(self, tables: ModuleType, tmp_path: Path) -> None:
        assert "Seconds are" not in tables.section(study())
        [row] = study()["table"]  # type: ignore[misc]
        timed = {**row, "measure": "seconds", "unit": "", "ours": 1422.4, "sd": 1091.78, "published": None}
        text = tables.section(study(table=[row, timed]))
        assert "1,422.40 ± 1,091.78" in text
        assert text.endswith("Seconds are of a wall clock beside other work on a shared machine: "
                             "they say how large, not which is faster.\n")  # fmt: skip

    def test_have_no_decimals_of_large_numbers(self, tables: ModuleType) -> None:
        assert [tables.number(one) for one in (218968656.83, 1422.41, 1000.0, 0.012)] == [
            "218,968,657", "1,422.41", "1,000", "0.012"]  # fmt: skip

    @pytest.mark.parametrize(
        ("value", "limit", "line"),
        [
            (1.05, "at most 1.3", "| ours | at most 1.3 | 1.05 | yes | `benchmarks/x.py` | one, 2 threads |"),
            (1.05, "at least 1.3", "| ours | at least 1.3 | 1.05 | no | `benchmarks/x.py` | one, 2 threads |"),
            (
                {"median": 1.05, "lower_quartile": 1.0, "upper_quartile": 1.1},
                "at most 1",
                "| ours | at most 1 | 1.05 | 1.00 to 1.10 | no | `benchmarks/x.py` | one, 2 threads |",
            ),
        ],
    )
    def test_of_claims_say_whether_they_hold(
        self, tables: ModuleType, tmp_path: Path, value: object, limit: str, line: str
    ) -> None:
        root = self.repository(tmp_path, "")
        asked = f'[[figure]]\nwhat = "ours"\nbenchmark = "x"\npath = ["ratio", "a"]\nlimit = "{limit}"\n'
        (root / "benchmarks" / "claims.toml").write_text(asked)
        assert "not measured yet" in tables.table("claims", root / "benchmarks" / "results")
        data = {"ratio": {"a": value}, "machine": {"processor": "one", "threads": 2}}
        (root / "benchmarks" / "results" / "x.json").write_text(json.dumps(data))
        assert line in tables.table("claims", root / "benchmarks" / "results")

    def test_across_studies_count_places_where_every_arm_was_measured(self, tables: ModuleType, tmp_path: Path) -> None:
        root = self.repository(tmp_path, "")
        results = root / "benchmarks" / "results"
        wanted = 'profile = "cpu"\nmeasure = "acc"\n[studies]\none = "a"\ntwo = "b"\nthree = "c"\nfour = "never"\n'
        (root / "benchmarks" / "across.toml").write_text(wanted)
        assert tables.table("across", results) == "Not measured yet.\n"
        row = {"unit": "%", "published": None, "sd": None, "difference": None, "place": ""}
        figures = {"a": {"x": 70.0, "y": 80.0, "alone": 99.0}, "b": {"x": 75.0, "y": 60.0}, "c": {"x": 50.0, "y": 65.0}}
        for name, measured in figures.items():
            rows = [{**row, "arm": arm, "measure": "acc", "ours": value, "n": 3} for arm, value in measured.items()]
            rows += [{**row, "arm": arm, "measure": "nmi", "ours": 1.0, "n": 3} for arm in measured]
            made = study(study=name, settings={arm: {} for arm in measured}, table=rows)
            (results / f"{name}.cpu.json").write_text(json.dumps(made))
        lines = ["|  | mean place | one | two | three |", "| --- | --- | --- | --- | --- |"]
        y, x = "| y | 1.3 | **80.0** | 60.0 | **65.0** |", "| x | 1.7 | 70.0 | **75.0** | 50.0 |"
        assert tables.table("across", results).splitlines() == [*lines, y, x, "", "Means over 3 seeds."]
        made["table"] = [one for one in made["table"] if one["arm"] == "x"]
        (results / "c.cpu.json").write_text(json.dumps(made))
        y, x = "| y | 1.5 | **80.0** | 60.0 |  |", "| x | 1.5 | 70.0 | **75.0** | 50.0 |"
        said = "Means over 3 seeds, but of fewer here: three: 1 methods have 1."
        made["table"] = [{**one, "n": 1} for one in made["table"]]
        (results / "c.cpu.json").write_text(json.dumps(made))
        assert tables.table("across", results).splitlines() == [*lines, x, y, "", said]

    def test_of_peaks_have_what_was_published_beside_them(self, tables: ModuleType, tmp_path: Path) -> None:
        assert "ssim_search.py" in tables.table("peaks", tmp_path)
        layer = {
            "layer": "first",
            "units": 64,
            "peaks": {"thesis_min": {"k": 27, "score": 0.26}, "distance": {"k": 2, "score": 0.0}},
        }
        data = {"weights": "random", "layers": [layer], "kept": {"published": {"A": [24]}}}
        (tmp_path / "ssim_search.json").write_text(json.dumps(data))
        assert "| first | 64 | 27 (0.26) | 2 (0.00) | 24 |" in tables.table("peaks", tmp_path)

    def test_of_rivals_have_the_best_criterion_first(self, tables: ModuleType, tmp_path: Path) -> None:
        criteria = {
            "random": {"as_cut": 10.0, "recovered": 50.0, "against": {}},
            "l1": {"as_cut": 11.0, "recovered": 60.0, "against": {"random": {"points": 10.0, "p": 0.02}}},
            "same": {"as_cut": 10.0, "recovered": 52.0, "against": {"random": {"points": 2.0, "p": None}}},
        }
        data = {"of_study": "cut", "profile": "cpu", "base": 90.0, "seeds": 3, "criteria": criteria}
        (tmp_path / "prune_compare.a.json").write_text(json.dumps(data))
        text = tables.table("rivals", tmp_path)
        lines = (
            "| l1 | 11.00 | 60.00 | 10.00 (0.02) |",
            "| same | 10.00 | 52.00 | 2.00 |",
            "| random | 10.00 | 50.00 |  |",
        )
        assert "\n".join(lines) in text


# slow: builds every page, the API from docstrings
@pytest.mark.slow
def test_pages_build_strictly_and_ask_nothing_of_the_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text()
        assert re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+"', text) == [], page.name
        assert not re.search(r":(?:func|class|meth|mod):", text), page.name
    names = (tmp_path / "site" / "reference" / "names.html").read_text()
    assert "lenet-300-100" in names and "zero-fraction" in names
    commands = (tmp_path / "site" / "reference" / "commands.html").read_text()
    assert "--data-option" in commands
    assert [one.name for one in app.registered_commands if f"nervure {one.name}<" not in commands] == []
    extending = (tmp_path / "site" / "guide" / "extending.html").read_text()
    assert [group for group in groups_of_the_code() if f"<code>{group}</code>" not in extending] == []
