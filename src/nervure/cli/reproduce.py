"""``nervure reproduce``: run a published table, or a study of one's own, again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nervure.cli import options as opt
from nervure.cli.common import check_file
from nervure.cli.console import print_figure, print_json, print_table, say
from nervure.errors import InputError, NervureError
from nervure.registry import nearest

if TYPE_CHECKING:
    from nervure.study import Progress, Results


log = logging.getLogger(__name__)

FEW = 40
"""Lines of tests that are printed; more are for the page."""


def command(
    name: Annotated[str | None, typer.Argument(help="A study's name, or your own file ending in .toml.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the studies.")] = False,
    profile: Annotated[str, typer.Option(help="Which size: smoke, cpu, gpu or published.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for results; what it holds is kept.")
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="ARM", help="Make the trials of this arm alone; may be repeated."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds.  [default: the profile's]", min=1)] = None,
    jobs: Annotated[int, typer.Option(help="Trials at a time, each a process.", min=1)] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(help="Start no trial that would end later; 0 only shows what is there.", min=0),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="A file, seen by several machines, through which they share the trials."),
    ] = None,
    page: Annotated[Path | None, typer.Option("--page", help="Write the results as a page.")] = None,
    data_dir: opt.DataDir = None,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make a study's trials, and set what was published beside them.

    Trials that the folder holds are not made again: give the same command to go on.

    Examples:

      nervure reproduce --list

      nervure reproduce mnist-lenet5 --profile cpu --data-dir data -o results
    """
    from nervure import study
    from nervure.train.interrupt import stopping

    if list_:
        _list(json_)
        return
    if name is None:
        raise InputError("name a study, or give --list to see them")
    if out is None:
        raise InputError("give -o, a folder for the results")
    check_file(page, overwrite, (".html",))
    chosen = study.load(name)
    with stopping() as stop:
        results = study.run(
            chosen, profile, out, arms=arm or (), seeds=seeds, data_dir=data_dir, jobs=jobs, minutes=minutes,
            threads=threads, device=device, journal=journal, progress=None if quiet else _tell, stop=stop,
        )  # fmt: skip
    _show(results, json_, quiet)
    if page is not None:
        _write(results, page, overwrite)
        say(f"wrote {page}", quiet=quiet)
    if results.missing:
        _go_on(results, arm or (), journal, quiet)
    if results.failed:
        raise NervureError(_failures(results))


def _list(json_: bool) -> None:
    from nervure import study

    found = [study.load(name) for name in study.names()]
    if json_:
        print_json(
            [
                {
                    "name": one.name,
                    "what": one.what,
                    "data": one.data.source,
                    "profiles": {key: value.what for key, value in one.profiles.items()},
                    "published": bool(one.published),
                }
                for one in found
            ]
        )
        return
    rows = [(one.name, one.what, ", ".join(one.profiles), "yes" if one.published else "no") for one in found]
    print_table(("study", "what", "profiles", "published"), rows)


def _tell(where: Progress) -> None:
    record = where.record
    trial = f"{record.trial.arm}, seed {record.trial.seed}"
    if record.done:
        shown = [f"{key} {value:.4g}" for key, value in record.metrics.items() if key in ("accuracy", "rmse", "mse")]
        said = ", ".join([*shown, f"{record.durations['total']:.1f} s"])
    else:
        said = f"failed: {record.error}"
    left = f", about {_minutes(where.left)} left" if where.left else ""
    say(f"{where.made}/{where.total}  {trial}: {said}{left}")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _show(results: Results, json_: bool, quiet: bool) -> None:
    from nervure import study

    if json_:
        print_json(results.to_json())
        return
    found = study.shown(results)
    few = [one for one in found.tests if len(one.rows) <= FEW]
    for table in (*found.tables, *few):
        print_figure(table)
    if len(few) < len(found.tests):
        say("differences to controls, with their p, are many: --page shows them, --json has them", quiet=quiet)
    chosen = results.study
    if printed := study.brackets(results.rows()):
        say(f"in brackets: {printed}", quiet=quiet)
    for work in dict.fromkeys(one.work for one in chosen.figures):
        say(f"published: {work}", quiet=quiet)
    if chosen.unpublished:
        say(chosen.unpublished, quiet=quiet)
    say(f"profile {results.profile}: {chosen.profile(results.profile).what}", quiet=quiet)
    told = "; ".join(f"{name} {value}" for name, value in study.settings_of(results, arms=False).items())
    say(f"settings: {told}", quiet=quiet)
    if absent := results.absent:
        given = tuple(dict.fromkeys(name for record in results.records for name in record.metrics))
        log.warning("no trial gave the measure %r; %s", absent[0], nearest(absent[0], given))
    if found.unmeasured:
        say(_left_out(found.unmeasured), quiet=quiet)
    if made := study.machines(results):
        say(f"on {made}", quiet=quiet)


def _left_out(lines: int) -> str:
    return f"{lines} lines without a measurement are left out; --json has them"


def _go_on(results: Results, arms: Sequence[str], journal: Path | None, quiet: bool) -> None:
    held = (
        f"; other machines may be at work on them (if none is, delete {journal}: finished trials are kept)"
        if journal is not None
        else ""
    )
    count = f"{results.missing} of {len(results.trials)} trials are missing"
    same = "the same command" if not arms else "the same command, or one without --arm for all arms,"
    say(f"{count}: give {same} to go on{held}", quiet=quiet)


def _failures(results: Results) -> str:
    """Each error once, with the first trial that it ended and how many more."""
    ended: dict[str, list[str]] = {}
    for one in results.failed:
        ended.setdefault(str(one.error), []).append(f"{one.trial.arm}, seed {one.trial.seed}")
    more = {error: f", and {len(trials) - 1} more" if len(trials) > 1 else "" for error, trials in ended.items()}
    told = "; ".join(f"{trials[0]}{more[error]}: {error}" for error, trials in ended.items())
    count = f"{len(results.failed)} of {len(results.trials)} trials failed"
    return f"{count} ({told}); the same command tries them again"


def _write(results: Results, page: Path, overwrite: bool) -> None:
    from nervure import report, study
    from nervure.store.run import versions

    chosen = results.study
    found = study.shown(results)
    works = list(dict.fromkeys(one.work for one in chosen.figures))
    printed = study.brackets(results.rows())
    places = f"In brackets: {printed}." if printed else ""
    sources = f"Published figures: {'; '.join(works)}. {places}" if works else chosen.unpublished
    left = f"{_left_out(found.unmeasured)}." if found.unmeasured else ""
    made = study.machines(results)
    sections = [
        report.Section(
            "Published and ours" if works else "Measured", " ".join(filter(None, (sources, left))), found.tables
        ),
        report.Section("Drawn", "Means over seeds, with one standard deviation.", found.drawings),
        report.Section("Differences to controls", "", found.tests),
        report.Section("Settings", f"Made on {made}." if made else "", [found.settings]),
        report.Section("Trials", "", found.trials),
    ]
    html = report.page(
        f"Study: {chosen.name}",
        [one for one in sections if one.figures],
        summary=f"{chosen.what}. Profile {results.profile}: {chosen.profile(results.profile).what}.",
        versions=versions(),
    )
    report.write(page, html, overwrite=overwrite)
