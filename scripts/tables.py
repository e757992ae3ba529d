"""Write the tables of results into README and docs from what was measured, so that nobody types a figure.

    python scripts/tables.py            write them
    python scripts/tables.py --check    fail if one is not what the results say

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``. ``studies.PROFILE`` gathers every study of
that profile, ``benchmarks`` all that is no study, ``headlines`` the few figures that ``benchmarks/headlines.toml``
names; another NAME is ``benchmarks/results/NAME.json``. What was not measured yet says so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- table:(?P<name>[\w.-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
QUARTILES = {"median", "lower_quartile", "upper_quartile"}

Data = Mapping[str, Any]


def fill(text: str, results: Path) -> str:
    """The text with each of its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found['name'], results)}\n{found[3]}", text)


def table(name: str, results: Path) -> str:
    """The table of that name, ending in a line break."""
    if name.startswith("studies."):
        return studies(name.removeprefix("studies."), results)
    if name == "benchmarks":
        return benchmarks(results)
    if name == "headlines":
        return headlines(results)
    file = results / f"{name}.json"
    if not file.is_file():
        return f"Not measured yet; `python benchmarks/{name}.py` measures it.\n"
    data = json.loads(file.read_text(encoding="utf-8"))
    return study_table([data]) if "study" in data else benchmark(data, f"python benchmarks/{name}.py")


def headlines(results: Path) -> str:
    """The figures that a reader asks for first, a line each: published or asked, and ours."""
    wanted = tomllib.loads((results.parent / "headlines.toml").read_text(encoding="utf-8"))["figure"]
    header = ("what", "published", "limit", "ours", "made by")
    return grid(header, [headline(one, results) for one in wanted])


def headline(wanted: Data, results: Path) -> tuple[str, ...]:
    """One line: a row of a study, or a number of a benchmark by its path."""
    study = wanted.get("study")
    profile = wanted.get("profile", "cpu")
    file = results / (f"{study}.{profile}.json" if study else f"{wanted['benchmark']}.json")
    command = f"`nervure reproduce {study} --profile {profile}`" if study else f"`benchmarks/{wanted['benchmark']}.py`"
    if not file.is_file():
        return (wanted["what"], "", wanted.get("limit", ""), "not measured yet", command)
    data = json.loads(file.read_text(encoding="utf-8"))
    if study is None:
        value = data
        for key in wanted["path"]:
            value = value[key]
        return (wanted["what"], "", wanted.get("limit", ""), number(float(value)), command)
    row = next(
        row
        for row in data["table"]
        if (row["arm"], row["measure"]) == (wanted.get("arm", "base"), wanted["measure"])
        and (wanted.get("place") is None or row["place"] == wanted["place"])
    )
    return (wanted["what"], number(row["published"]), "", ours(row), command)


def studies(profile: str, results: Path) -> str:
    """Every study of one profile in one table, by name."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob(f"*.{profile}.json"))]
    found = [data for data in found if data.get("study") and data.get("profile") == profile]
    return study_table(found) if found else f"No study of the profile `{profile}` was measured yet.\n"


def study_table(found: Sequence[Data]) -> str:
    """Published beside ours: a line for each arm, measure and printed figure that was measured; all of one profile."""
    rows = [
        (
            f"`{data['study']}`",
            "" if row["arm"] == "base" else row["arm"],
            f"{row['measure'].replace('_', ' ')}{' (' + row['unit'] + ')' if row['unit'] else ''}",
            number(row["published"]),
            ours(row),
            str(row["n"]),
            number(row["difference"], sign=True),
            row["place"],
        )
        for data in found
        for row in data["table"]
        if row["n"]
    ]
    header = ("study", "arm", "measure", "published", "ours", "seeds", "difference", "printed in")
    profile = found[0]["profile"]
    sizes = [f"- `{data['study']}`: {data['what']}; {data['size']}{missing(data)}" for data in found]
    made = f"Made by `nervure reproduce NAME --profile {profile} --data-dir DATA -o benchmarks/results`"
    places = sorted({environment(one) for data in found for one in data["environments"]})
    return f"{grid(header, rows)}\n{made}, on {' and '.join(places) or 'no machine yet'}.\n\n" + "\n".join(sizes) + "\n"


def missing(data: Data) -> str:
    """What a study still lacks, in words; lines without a figure of ours are not in the table."""
    lines = sum(not row["n"] for row in data["table"])
    said = f"; {data['missing']} trials are missing" if data["missing"] else ""
    return said + (f"; {lines} lines are not measured" if lines else "")


def ours(row: Data) -> str:
    """Mean and spread over seeds."""
    spread = "" if row["sd"] is None else f" ± {number(row['sd'])}"
    return f"{number(row['ours'])}{spread}"


def environment(data: Data) -> str:
    """A machine in one line."""
    threads = f"{data['threads']} thread{'s' * (data['threads'] != 1)}"
    return f"{data['device']} ({data['cpu']}, {threads}, torch {data['torch']})"


def benchmarks(results: Path) -> str:
    """Every benchmark that was measured, each under its name."""
    files = [file for file in sorted(results.glob("*.json")) if "study" not in json.loads(file.read_text("utf-8"))]
    return "\n".join(f"### `{file.stem}`\n\n{table(file.stem, results)}" for file in files) or "Nothing yet.\n"


def benchmark(data: Data, command: str) -> str:
    """What one benchmark compares, with quartiles and limits, and what made it; seconds alone compare nothing."""
    limits = data.get("limits", {})
    rows = []
    for key, value in data.items():
        arms = spreads(value) if "seconds" not in key else {}
        for arm, one in arms.items():
            limit = limits.get(arm) if isinstance(limits, Mapping) else None
            quartiles = f"{number(one['lower_quartile'])} to {number(one['upper_quartile'])}"
            label = f"{arm}: {key}" if arm else key
            bound = "at least" if key.startswith("times") else "at most"
            asked = "" if limit is None else f"{bound} {number(limit)}"
            rows.append((label.replace("_", " "), number(one["median"]), quartiles, asked))
    header = ("what", "median", "quartiles", "limit")
    if not rows:
        header = ("what", "measured")
        rows = [(key.replace("_", " "), plain(value)) for key, value in data.items() if is_number(value)]
    about = data.get("machine", {})
    where = f" on {about['processor']}" if "processor" in about else ""
    with_torch = f", torch {about['torch']}" if "torch" in about else ""
    return f"{grid(header, rows)}\nMade by `{data.get('command', command)}`{where}{with_torch}.\n"


def spreads(value: object) -> dict[str, Data]:
    """Medians with quartiles within a value, by name; one that is such itself has no name."""
    if not isinstance(value, Mapping):
        return {}
    if value.keys() >= QUARTILES:
        return {"": value}
    return {name: one for name, one in value.items() if isinstance(one, Mapping) and one.keys() >= QUARTILES}


def is_number(value: object) -> bool:
    """Whether a value is a number and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain(value: float) -> str:
    """A whole number without decimals."""
    return f"{value:,}" if isinstance(value, int) else number(value)


def number(value: float | None, *, sign: bool = False) -> str:
    """Two decimals, with a true minus; nothing for None."""
    if value is None:
        return ""
    return f"{value:{'+' if sign else ''}.2f}".replace("-", "\N{MINUS SIGN}")


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without columns that are empty from top to bottom."""
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    lines = [[header[place] for place in kept], ["---"] * len(kept)]
    lines += [[row[place].replace("|", "\\|") for place in kept] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def pages(root: Path) -> list[Path]:
    """The README and every page of the docs."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check all tables; 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare, and fail if a table is out of date")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    given = parser.parse_args(arguments)
    stale = []
    for page in pages(given.root):
        text = page.read_text(encoding="utf-8")
        made = fill(text, given.root / "benchmarks" / "results")
        if made != text:
            stale.append(page)
            if not given.check:
                page.write_text(made, encoding="utf-8")
    verb = "is out of date; run: python scripts/tables.py" if given.check else "was written"
    sys.stdout.write("".join(f"{page.relative_to(given.root)} {verb}\n" for page in stale))
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
