"""Write the tables of results into README and docs from what was measured, so that nobody types a figure.

    python scripts/tables.py            write them
    python scripts/tables.py --check    fail if one is not what the results say

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``. ``studies.PROFILE`` gathers every study of
that profile from ``benchmarks/results``; ``headlines`` and ``claims`` are the figures that the files of these names
in ``benchmarks`` ask for, ``across`` the arms of several studies side by side, ``rivals`` what criteria of pruning
reach beside controls, ``peaks`` where silhouettes of SSIM k-means peak. What was not measured yet says so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nervure.study.environment import machine
from nervure.study.layout import brackets, layouts, number, ours
from nervure.study.results import Row
from nervure.study.table import load, names

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"(<!-- table:(?P<name>[\w.-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)

Data = Mapping[str, Any]


def fill(text: str, results: Path) -> str:
    """The text with each of its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}\n{table(found['name'], results)}\n{found[3]}", text)


def table(name: str, results: Path) -> str:
    """The table of that name, ending in a line break."""
    if name.startswith("studies."):
        return studies(name.removeprefix("studies."), results)
    made = {"headlines": headlines, "claims": claims, "across": across, "rivals": rivals, "peaks": peaks}
    return made[name](results)


def headlines(results: Path) -> str:
    """The figures that a reader asks for first, a line each: published or asked, and ours."""
    header = ("what", "published", "limit", "ours", "made by")
    return grid(header, [headline(one, results) for one in wanted(results, "headlines")])


def headline(asked: Data, results: Path) -> tuple[str, ...]:
    """One line: a row of a study, or a number of a benchmark by its path."""
    if "benchmark" in asked:
        what, limit, measured, _, _, made, _ = claim(asked, results)
        return (what, "", limit, measured, made)
    study, profile = asked["study"], asked.get("profile", "cpu")
    command = f"`nervure reproduce {study} --profile {profile}`"
    data = read(results / f"{study}.{profile}.json")
    if data is None:
        return (asked["what"], "", "", "not measured yet", command)
    row = next(
        row
        for row in data["table"]
        if (row["arm"], row["measure"]) == (asked.get("arm", "base"), asked["measure"])
        and (asked.get("place") is None or row["place"] == asked["place"])
    )
    return (asked["what"], number(row["published"]), "", ours(Row(**row)), command)


def claims(results: Path) -> str:
    """What every benchmark says, a line a claim: the limit, what was measured, whether it holds, and where."""
    header = ("what", "limit", "measured", "quartiles", "holds", "made by", "on")
    return grid(header, [claim(one, results) for one in wanted(results, "claims")])


def claim(asked: Data, results: Path) -> tuple[str, ...]:
    """One line: a number, or a median with its quartiles, that stands at a path in a benchmark's result."""
    limit, program = asked.get("limit", ""), f"benchmarks/{asked['benchmark']}.py"
    command = f"`{' '.join((program, *asked.get('options', ())))}`"
    value: Any = read(results / f"{asked.get('file', asked['benchmark'])}.json")
    if value is None:
        return (asked["what"], limit, "not measured yet", "", "", command, "")
    place = processor(value)
    for key in asked["path"]:
        value = value[key]
    around = ""
    if isinstance(value, Mapping):
        low, high = (
            value.get(f"{end}_quartile", value.get(short)) for end, short in (("lower", "low"), ("upper", "high"))
        )
        value, around = value["median"], f"{number(low)} to {number(high)}"
    return (asked["what"], limit, number(value), around, holds(float(value), limit), command, place)


def across(results: Path) -> str:
    """Arms down and studies across, of the arms that all of them have, the best on average first.

    An arm's place counts in studies where every arm was measured; the best of each of these is bold.
    """
    asked = tomllib.loads((results.parent / "across.toml").read_text(encoding="utf-8"))
    found = {title: read(results / f"{study}.{asked['profile']}.json") for title, study in asked["studies"].items()}
    made = {title: data for title, data in found.items() if data is not None}
    if not made:
        return "Not measured yet.\n"
    columns = {title: means(data, asked["measure"]) for title, data in made.items()}
    arms = [
        arm for arm in next(iter(made.values()))["settings"] if all(arm in data["settings"] for data in made.values())
    ]
    whole = [column for column in columns.values() if all(arm in column for arm in arms)]
    places = {arm: [1 + sum(column[other] > column[arm] for other in arms) for column in whole] for arm in arms}
    average = {arm: sum(places[arm]) / len(whole) if whole else 0.0 for arm in arms}
    lines = [
        (arm, f"{average[arm]:.1f}" if whole else "", *(best_bold(column, arm, arms) for column in columns.values()))
        for arm in sorted(arms, key=average.__getitem__)
    ]
    return f"{grid(('', 'mean place', *columns), lines)}\n{seeds(made, asked['measure'], arms)}\n"


def seeds(made: Mapping[str, Data], measure: str, arms: Sequence[str]) -> str:
    """Of how many seeds the means of :func:`across` are, and where there are fewer of some arms."""
    counts = {
        title: Counter(row["n"] for row in data["table"] if row["measure"] == measure and row["arm"] in arms)
        for title, data in made.items()
    }
    most = max(n for count in counts.values() for n in count)
    fewer = {
        title: ", ".join(f"{count[n]} methods have {n}" for n in sorted(count) if 0 < n < most)
        for title, count in counts.items()
    }
    named = "; ".join(f"{title}: {said}" for title, said in fewer.items() if said)
    return f"Means over {most} seeds{f', but of fewer here: {named}' if named else ''}."


def means(data: Data, measure: str) -> dict[str, float]:
    """What each arm of a study reached in one measure, where it was measured."""
    return {row["arm"]: row["ours"] for row in data["table"] if row["measure"] == measure and row["n"]}


def best_bold(column: Mapping[str, float], arm: str, arms: Sequence[str]) -> str:
    """A cell of :func:`across`; bold if no other arm's figure is larger, once all are there."""
    if arm not in column:
        return ""
    best = all(other in column and column[other] <= column[arm] for other in arms)
    return f"**{column[arm]:.1f}**" if best else f"{column[arm]:.1f}"


def rivals(results: Path) -> str:
    """Accuracy of criteria of pruning after recovery, and its differences to controls: a table a data set."""
    return "\n".join(rival(data) for file in sorted(results.glob("prune_compare.*.json")) if (data := read(file)))


def rival(data: Data) -> str:
    """The criteria of one study, the best first."""
    controls = list(dict.fromkeys(name for one in data["criteria"].values() for name in one.get("against", {})))
    lines = [
        (
            name,
            number(one["as_cut"]),
            number(one["recovered"]),
            *(against(one.get("against", {}).get(control)) for control in controls),
        )
        for name, one in sorted(data["criteria"].items(), key=lambda item: -item[1]["recovered"])
    ]
    header = ("criterion", "as cut (%)", "recovered (%)", *(f"less {control} (p)" for control in controls))
    said = f"Uncut {number(data['base'])} %; {data['seeds']} seeds, {processor(data)}."
    return f"### {data['of_study']}, {data['profile']}\n\n{said}\n\n{grid(header, lines)}"


def against(test: Data | None) -> str:
    """A paired difference in points, with its p; differences that no seed changes have none."""
    if test is None:
        return ""
    return number(test["points"]) + ("" if test["p"] is None else f" ({number(test['p'])})")


def peaks(results: Path) -> str:
    """How many clusters each silhouette likes best, layer by layer, beside what was published for a trained network."""
    data = read(results / "ssim_search.json")
    if data is None:
        return "Not measured yet; `python benchmarks/ssim_search.py` measures it.\n"
    kinds = list(data["layers"][0]["peaks"])
    lines = [
        (
            row["layer"],
            str(row["units"]),
            *(f"{row['peaks'][kind]['k']} ({number(row['peaks'][kind]['score'])})" for kind in kinds),
            str(printed),
        )
        for row, printed in zip(data["layers"], data["kept"]["published"]["A"], strict=True)
    ]
    header = ("layer", "filters", *(f"{data['weights']} weights, `{kind}`" for kind in kinds), "published, scenario A")
    return grid(header, lines)


def holds(value: float, limit: str) -> str:
    """Whether a number keeps a limit such as ``at most 1.3``."""
    kept = {"at least": lambda bound: value >= bound, "at most": lambda bound: value <= bound}
    words, _, bound = limit.rpartition(" ")
    return "" if not limit else "yes" if kept[words](float(bound)) else "no"


def processor(data: Data) -> str:
    """The machine of a benchmark's result, in a few words."""
    about = data.get("machine")
    about = about if isinstance(about, Mapping) else data
    name = about.get("processor") or about.get("cpu") or about.get("machine", "")
    threads = about.get("threads")
    said = [str(name), f"{threads} thread{'s' * (threads != 1)}" if threads else ""]
    return ", ".join(part for part in said if part)


def studies(profile: str, results: Path) -> str:
    """Every study of one profile, by name, each with its tables."""
    found = [read(file) for file in sorted(results.glob(f"*.{profile}.json"))]
    made = [data for data in found if data is not None and data.get("study") and data.get("profile") == profile]
    if not made:
        return f"No study of the profile `{profile}` was measured yet.\n"
    places = sorted({machine(one) for data in made for one in data["environments"]})
    command = f"Made by `nervure reproduce NAME --profile {profile} --data-dir DATA -o benchmarks/results`"
    return f"{command}, on {' and '.join(places) or 'no machine yet'}.\n\n" + "\n".join(section(data) for data in made)


def section(data: Data) -> str:
    """One study: what it is, its size, and its tables."""
    counts = sorted({row["n"] for row in data["table"] if row["n"]})
    seeds = " to ".join(dict.fromkeys(str(counts[at]) for at in (0, -1) if counts)) or "no"
    printed = brackets([Row(**row) for row in data["table"]])
    places = f"\nIn brackets: {printed}.\n" if printed else ""
    plural = "" if counts == [1] else "s"
    said = f"{data['what']}. Size: {data['size']}; measured with {seeds} seed{plural}{missing(data)}."
    return f"### {data['study']}\n\n{said}\n\n" + "\n".join(tables(data)) + places + noted(data) + clock(data)


def noted(data: Data) -> str:
    """What a reader must know of arms and criteria; the study's file says it, also of results made before it did."""
    notes = load(data["study"]).notes if data["study"] in names() else data.get("notes", {})
    said = "; ".join(f"`{what}`: {note}" for what, note in notes.items())
    return f"\n{said}.\n" if said else ""


def clock(data: Data) -> str:
    """What a reader must know of a study's seconds, where it has any."""
    timed = any(row["n"] and row["measure"].startswith("seconds") for row in data["table"])
    said = "Seconds are of a wall clock beside other work on a shared machine: they say how large, not which is faster."
    return f"\n{said}\n" if timed else ""


def tables(data: Data) -> Iterator[str]:
    """The tables of a study: its single measures, and one of each sweep."""
    rows = [Row(**row) for row in data["table"]]
    axis = data.get("axis", "")
    for one in layouts(tuple(data["settings"]), rows, by_layer=data.get("by_layer", False), axis=axis):
        yield grid((one.name or one.columns[0], *one.columns[1:]), one.rows)


def missing(data: Data) -> str:
    """What a study still lacks, in words; lines without a figure of ours are not in the tables."""
    lines = sum(not row["n"] for row in data["table"])
    said = f"; {data['missing']} trial{'s are' if data['missing'] > 1 else ' is'} missing" if data["missing"] else ""
    failed = sum(trial["error"] is not None for trial in data.get("trials", ()))
    said += f"; {failed} trial{'s' * (failed > 1)} failed" if failed else ""
    return said + (
        f"; {lines} figures are not measured" if lines > 1 else "; one figure is not measured" if lines else ""
    )


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without columns that are empty from top to bottom."""
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    lines = [[header[place] for place in kept], ["---"] * len(kept)]
    lines += [[row[place].replace("|", "\\|") for place in kept] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def wanted(results: Path, name: str) -> Sequence[Data]:
    """The figures that a file beside the results names."""
    found: Sequence[Data] = tomllib.loads((results.parent / f"{name}.toml").read_text(encoding="utf-8"))["figure"]
    return found


def read(file: Path) -> Data | None:
    """A result; None if it was not measured yet."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


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
