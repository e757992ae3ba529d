"""save and load: a run as a folder, written so that it is whole or no run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor, nn

from nervure import evidence
from nervure.data.dataset import Preprocessing
from nervure.errors import InputError, RunError
from nervure.evidence import Figure
from nervure.nets.build import function_of, rebuild
from nervure.nets.origin import Origin, origin_of
from nervure.store.atomic import alone, clear_errors, leftover, making, replacing, write_json, write_text
from nervure.store.packed import load_weights, save_weights
from nervure.store.record import SCHEMA, Record, parse, render
from nervure.store.run import Action, History, Run

__all__ = ["anew", "annotate", "claim", "discard", "is_run", "load", "save", "write"]

_MODEL, _HISTORY, _EVIDENCE, _CHECKPOINT, _RECORD = (
    "model.safetensors",
    "history.jsonl",
    "evidence",
    "checkpoint",
    "run.json",
)
_OURS = {
    _MODEL, _HISTORY, _EVIDENCE, _CHECKPOINT, _RECORD, "exports", "report.html", "plan.json", "base", "mask.json",
    "mask.safetensors", "sizes",
}  # fmt: skip

_WAIT = 10.0
"""Seconds to wait for another process that writes to a run, such as figures."""

_SYSTEM = (".DS_Store", "._", "Thumbs.db", "desktop.ini", ".nfs")
"""Files that systems put into folders unasked begin with these."""


def is_run(path: Path | str) -> bool:
    """Whether ``path`` holds a finished run's record (which may still prove damaged)."""
    return (Path(path) / _RECORD).is_file()


def claim(path: Path | str, *, resume: bool | None = None, overwrite: bool = False) -> Path:
    """Check that a run may be written at ``path``; nothing is written or removed yet.

    A folder that exists is refused unless it is empty, or ``resume`` or ``overwrite`` is given; one that
    holds files of other kinds is always refused. ``resume`` is None for work that cannot be resumed.
    """
    path = Path(path)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"cannot write {path}: its name is no UTF-8; choose another name") from error
    if not path.exists():
        ancestor = next(parent for parent in path.absolute().parents if parent.exists())
        if not ancestor.is_dir():
            raise InputError(f"cannot write {path}: {ancestor} is a file")
        _writable(ancestor, path)
        return path
    if not path.is_dir():
        raise InputError(f"cannot write {path}: a file of that name exists; choose another name")
    _writable(path, path)
    held = {leftover(file.name) or file.name for file in path.iterdir() if not file.name.startswith(_SYSTEM)}
    if foreign := sorted(held - _OURS):
        raise InputError(f"cannot write {path}: the folder holds {foreign[0]!r}, which is no part of a run")
    if held and not (resume or overwrite):
        what = "holds a run" if _RECORD in held else "holds unfinished work"
        resumed = "" if resume is None else "--resume to go on with it, or "
        raise InputError(f"{path} {what}; give {resumed}--overwrite to replace it")
    return path


def discard(path: Path | str) -> None:
    """Remove what a run holds, its record first, so that a folder half removed is no run."""
    path = Path(path)
    with clear_errors(path):
        (path / _RECORD).unlink(missing_ok=True)
        for name in sorted(_OURS - {_RECORD}):
            _remove(path / name)
        _sweep(path)


def _sweep(path: Path) -> None:
    """Remove temporary files that a killed process has left behind."""
    for file in path.iterdir() if path.is_dir() else ():
        if leftover(file.name) in _OURS:
            _remove(file)


def _remove(path: Path) -> None:
    """Remove a file, a folder, or a link to either."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def save(path: Path | str, what: Run | nn.Module, *, overwrite: bool = False) -> Path:
    """Write a run, or a network that Nervure built, to the folder ``path``; its record is written last.

    Parameters
    ----------
    path : path
        A folder that does not exist, or is empty, unless ``overwrite``.
    what : Run or Module
        A module needs an Origin, which says what it was built from.

    Examples
    --------
    >>> import tempfile, nervure as nv
    >>> net = nv.nets.build("lenet-300-100", in_shape=(1, 8, 8), classes=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(f"{folder}/run", net)
    ...     load(path).origin == nv.nets.origin_of(net)
    True
    """
    run = what if isinstance(what, Run) else _wrap(what)
    with anew(path, run, overwrite=overwrite):
        pass  # nothing lies beside it
    return Path(path)


@contextlib.contextmanager
def anew(path: Path | str, run: Run, *, overwrite: bool = False) -> Iterator[Path]:
    """Write a run, and what the caller puts into the folder that is given, in place of what ``path`` holds.

    All of it is written beside the old run, which stays as it was if anything fails.
    """
    path = claim(path, overwrite=overwrite)
    with clear_errors(path), making(path), alone(path, wait=_WAIT):
        claim(path, overwrite=overwrite)  # what another process may have written meanwhile
        _sweep(path)
        place, aside = (
            Path(tempfile.mkdtemp(prefix=f".{_RECORD}.", suffix=".partial", dir=path)) for _ in ("new", "old")
        )
        try:
            yield place
            write(place, run)
            _exchange(path, place, aside)
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):  # what could not go back where it was stays
                aside.rmdir()
    run.path = path


def _exchange(path: Path, place: Path, aside: Path) -> None:
    """Move what ``path`` holds of a run aside, and what ``place`` holds there: a record goes first, and comes last.

    If that is cut short, everything goes back to where it was.
    """
    new = sorted((file.name for file in place.iterdir()), key=lambda name: name == _RECORD)
    old = sorted((name for name in _OURS if os.path.lexists(path / name)), key=lambda name: name != _RECORD)
    moves = [(path / name, aside / name) for name in old] + [(place / name, path / name) for name in new]
    begun: list[tuple[Path, Path]] = []
    try:
        for here, there in moves:
            begun.append((here, there))
            here.rename(there)
    except BaseException:
        for here, there in reversed(begun):
            if not os.path.lexists(here):
                there.rename(here)
        raise


def write(path: Path, run: Run) -> Path:
    """Write a run's files, then its record; the folder was claimed by the caller."""
    with clear_errors(path):
        (path / _RECORD).unlink(missing_ok=True)
        _sweep(path)
        _remove(path / _EVIDENCE)
    save_weights(path / _MODEL, run.net.state_dict())
    write_text(path / _HISTORY, "".join(json.dumps(row) + "\n" for row in run.history))
    files = [_MODEL, _HISTORY]
    for name, figure in run.evidence.items():
        file = _figure_file(name)
        with replacing(path / file) as temporary:
            evidence.save(temporary, figure)
        files.append(file)
    write_json(path / _RECORD, render(_record(path, run, files)))
    run.path = path
    return path


def annotate(path: Path | str, figures: Mapping[str, Figure], metrics: Mapping[str, float] | None = None) -> None:
    """Add figures and measures to a run that stands; its network stays as it is."""
    path = Path(path)
    with alone(path, wait=_WAIT):
        _annotate(path, figures, metrics or {})


def _annotate(path: Path, figures: Mapping[str, Figure], metrics: Mapping[str, float]) -> None:
    record = parse(path / _RECORD)
    named = {_figure_file(name): figure for name, figure in figures.items()}
    files = {name: digest for name, digest in record.files.items() if name not in named}
    if len(files) < len(record.files):  # the run is whole without them, should the writing of new ones be cut short
        write_json(path / _RECORD, render(record.model_copy(update={"files": files})))
    for file, figure in named.items():
        with replacing(path / file) as temporary:
            evidence.save(temporary, figure)
        files[file] = _digest(path / file)
    values = {**record.metrics, **_finite(metrics)}
    write_json(path / _RECORD, render(record.model_copy(update={"files": files, "metrics": values})))


def load(path: Path | str, *, build: str | Callable[..., nn.Module] | None = None) -> Run:
    """Read a run: its network is rebuilt from its origin, and nothing that the folder names is executed.

    Parameters
    ----------
    path : path
        A run's folder.
    build : str or callable, optional
        The function that makes the network, for one that was built by a function of the user's own
        (``"package.module:function"``); it is never taken from the folder.
    """
    path = Path(path)
    record = parse(path / _RECORD)
    for name, digest in record.files.items():
        _check_file(path, name, digest)
    if lack := {_MODEL, _HISTORY} - set(record.files):
        raise RunError(f"{path}: its record names no {min(lack)}")
    in_shape = tuple(record.data.in_shape)
    state = load_weights(path / _MODEL)
    net = _rebuild(record, in_shape, build, path, state)
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if name in state:  # a network keeps the type of number that it was trained in
            tensor.data = tensor.data.to(state[name].dtype)
    with _fits(path):
        net.load_state_dict(state)
    net.eval()
    return Run(
        net=net,
        in_shape=in_shape,
        kind=record.data.kind,
        task=record.data.task,
        names=tuple(record.data.names),
        preprocessing=Preprocessing.from_json(record.data.preprocessing),
        source=record.data.source,
        options=record.data.options,
        fingerprint=record.data.fingerprint,
        history=_read_history(path / _HISTORY),
        metrics={name: math.nan if value is None else value for name, value in record.metrics.items()},
        evidence={
            PurePosixPath(name).stem: evidence.load(path / name)
            for name in record.files
            if name.startswith(f"{_EVIDENCE}/")
        },
        lineage=tuple(Action(one.name, one.settings, one.seed, one.command) for one in record.lineage),
        versions=record.versions,
        path=path,
    )


def _rebuild(
    record: Record,
    in_shape: tuple[int, ...],
    build: str | Callable[..., nn.Module] | None,
    path: Path,
    state: Mapping[str, Tensor],
) -> nn.Module:
    if record.origin is not None:
        origin = Origin.from_json(record.origin)
        if origin.base.kind != "function":
            _check_shapes(origin, state, path)
        return rebuild(origin, build=build)
    if build is None:
        raise InputError(
            f"{path}: this network was not built by Nervure; give build=, the function that makes it "
            "(package.module:function, called as f(in_shape, classes); on the command line: --net)"
        )
    function = function_of(build) if isinstance(build, str) else build
    return function(in_shape, len(record.data.names))


def _check_shapes(origin: Origin, state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a network that does not fit its weights before it takes any room."""
    try:
        with torch.device("meta"):
            net = rebuild(origin)
    except InputError:  # another package's network, which needs values while it is built
        return
    with _fits(path):
        net.load_state_dict(state, assign=True)


def _record(path: Path, run: Run, files: list[str]) -> Record:
    origin = run.origin
    return Record.model_validate(
        {
            "schema_version": SCHEMA,
            "origin": None if origin is None else origin.to_json(),
            "lineage": [action.to_json() for action in run.lineage],
            "data": {
                "source": run.source,
                "options": dict(run.options),
                "fingerprint": run.fingerprint,
                "kind": run.kind,
                "task": run.task,
                "names": list(run.names),
                "in_shape": list(run.in_shape),
                "preprocessing": run.preprocessing.to_json(),
            },
            "metrics": _finite(run.metrics),
            "versions": dict(run.versions),
            "files": {name: _digest(path / name) for name in files},
        }
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Measures as JSON has them: what is no number becomes null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _wrap(net: nn.Module) -> Run:
    origin = origin_of(net)
    if origin is None:
        raise InputError("this module has no Origin, so it could not be rebuilt; save a Run, or build it by nets.build")
    shape = origin.base.in_shape
    kind = {3: "image", 2: "series"}.get(len(shape), "table")
    names = tuple(str(one) for one in range(origin.base.classes))
    return Run(net=net, in_shape=shape, kind=kind, task="classification" if names else "none", names=names)  # type: ignore[arg-type]


def _figure_file(name: str) -> str:
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise InputError(f"a figure's name needs letters, digits, '-' and '_' alone, got {name!r}")
    return f"{_EVIDENCE}/{name}.npz"


def _check_file(path: Path, name: str, digest: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise RunError(f"{path}: its record names a file outside the folder: {name!r}")
    if not (path / name).is_file():
        raise RunError(f"{path}: {name} is missing; the run is damaged")
    if _digest(path / name) != digest:
        raise RunError(f"{path}: {name} was edited or truncated (its digest does not match)")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_history(path: Path) -> History:
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error}); the run is damaged") from error
    if not all(isinstance(row, dict) for row in rows):
        raise RunError(f"{path}: holds a line that is no epoch; the run is damaged")
    return rows


def _writable(folder: Path, path: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: no permission to write there; choose another folder")


_SAID = 300
"""So many characters of what PyTorch says, which names every weight, tell enough."""


@contextlib.contextmanager
def _fits(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        said = last if len(last) <= _SAID else f"{last[:_SAID]} ..."
        raise RunError(f"{path}: the weights do not fit the network: {said}") from error
