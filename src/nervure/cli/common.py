"""What several commands do first: parse ``key=value``, check where to write, load data, set threads."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nervure.cli.console import say
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.data import Dataset
    from nervure.store import Run

__all__ = [
    "apart",
    "check_device",
    "check_file",
    "claim",
    "command_line",
    "is_function",
    "load_data",
    "load_run",
    "nested",
    "own_code",
    "pairs",
    "refuse_options",
    "say_where",
    "set_threads",
    "to_agree",
    "typed",
]

_ARGUMENT = re.compile(r"\b(kind|label|layout|on_corrupt|size|target|task)='?([\w-]+)'?")


def pairs(given: Sequence[str] | None, option: str) -> dict[str, object]:
    """``["size=32", "label=kind"]`` as a dict; values are JSON where they can be, text otherwise.

    >>> pairs(["size=32", "label=kind"], "--data-option")
    {'size': 32, 'label': 'kind'}
    """
    found: dict[str, object] = {}
    for one in given or ():
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise InputError(f"{option} {one!r}: write it as key=value")
        try:
            found[key.replace("-", "_")] = json.loads(value)
        except ValueError:
            found[key.replace("-", "_")] = value
    return found


def nested(given: Sequence[str] | None, option: str) -> dict[str, object]:
    """Pairs whose keys may have dots: ``recipe.epochs=5`` is the field ``epochs`` of ``recipe``.

    >>> nested(["ridge=0.01", "recipe.epochs=5", "recipe.lr=0.1"], "--recover-set")
    {'ridge': 0.01, 'recipe': {'epochs': 5, 'lr': 0.1}}
    """
    found: dict[str, object] = {}
    for key, value in pairs(given, option).items():
        *outer, last = key.split(".")
        place = found
        for name in outer:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                raise InputError(f"{option} {key}: {name} is already set as a whole; give it one way")
            place = inner
        if last in place:
            raise InputError(f"{option} {key}: some of it is already set; give it one way")
        place[last] = value
    return found


def set_threads(threads: int | None) -> None:
    """Set torch's CPU threads, if asked."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def check_device(device: str) -> None:
    """Refuse an unknown device before anything else is done."""
    from nervure.train.runtime import pick_device

    pick_device(device)


def check_file(path: Path | None, overwrite: bool, endings: tuple[str, ...] = ()) -> None:
    """Refuse a file that could not be written, or must not, before anything else is done."""
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    if endings and path.suffix not in endings:
        raise InputError(f"{path}: the ending must be {' or '.join(endings)}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or give --overwrite")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: no permission to write there; choose another folder")


def is_function(net: str | None) -> bool:
    """Whether a network is named as ``package.module:function``.

    >>> is_function("my.nets:small"), is_function("lenet5"), is_function("a:b/blueprint.json")
    (True, False, False)
    """
    return net is not None and ":" in net and not net.endswith(".json")


def own_code(net: str | None) -> None:
    """Let a user's function be found in the current folder, after all installed packages, if one is named."""
    if is_function(net) and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def load_run(path: Path, function: str | None) -> Run:
    """Open a run; ``function`` made its network, if it was the user's own."""
    from nervure import store

    own_code(function)
    return store.load(path, build=function)


def claim(out: Path, *, resume: bool | None, overwrite: bool) -> None:
    """Check that a run may be written at ``out``, of a command that may ``resume`` one, or None, or replace it."""
    from nervure.store import folder

    if resume and overwrite:
        raise InputError("--resume goes on with what is there, and --overwrite replaces it; give one of the two")
    folder.claim(out, resume=resume, overwrite=overwrite)


def apart(out: Path, run: Path) -> None:
    """Refuse to write a smaller network over the run that it is made from."""
    if out.resolve() == run.resolve():
        raise InputError(f"-o {out} is the run itself, which would be lost; choose another folder")


def to_agree(run: Run, ds: Dataset, seed: int, device: str) -> Dataset:
    """The data that a smaller network is to be true to: for a clusterer its own clusters stand for labels."""
    if run.task != "clustering":
        return ds
    from nervure.cluster.runs import by_its_clusters

    return by_its_clusters(run, ds, seed=seed, device=device)


def typed(context: typer.Context) -> str:
    """The command as it was typed, for a run's lineage."""
    held = context.find_root().obj
    return shlex.join(["nervure", *held]) if isinstance(held, tuple) else ""


def command_line(*words: object) -> str:
    """A command to be typed next.

    >>> command_line("report", "my runs/first")
    "nervure report 'my runs/first'"
    """
    return shlex.join(["nervure", *map(str, words)])


def say_where(out: Path, function: str | None, *, quiet: bool, finished: bool = False) -> None:
    """Say where a run is and how to see it; ``function`` made its network, if it was the user's own."""
    own = ["--net", function] if is_function(function) else []
    what = f"{out} is finished" if finished else f"the run is in {out}"
    say(f"{what}; see it with: {command_line('report', out, *own)}", quiet=quiet)


def refuse_options(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse options that were given though they have no say; ``why`` says what settles it already."""
    for one in context.command.params:
        source = context.get_parameter_source(one.name or "")
        if one.name in names and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"{why}; leave out {one.opts[0]}")


def load_data(source: str, data_dir: Path | None, options: dict[str, object]) -> Dataset:
    """Load a source with options from the command line; messages name the options as they are given there."""
    from nervure import data

    place = {"data_dir": data_dir} if data_dir is not None else {}
    try:
        return data.load(source, **{**options, **place})  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(_in_shell(str(error))) from error
    except TypeError as error:
        raise InputError(f"{source}: {error}") from error


def _in_shell(message: str) -> str:
    """Keyword arguments in a message, as options of the command line.

    >>> _in_shell("give task='regression'")
    'give --data-option task=regression'
    """
    return _ARGUMENT.sub(r"--data-option \1=\2", message).replace("data_dir", "--data-dir")
