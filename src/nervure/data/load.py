"""The verb of this room: a source becomes a Dataset."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from nervure.data.arrays import assemble, from_arrays
from nervure.data.contents import Contents, Stacked
from nervure.data.dataset import Dataset
from nervure.data.layout import LAYOUTS
from nervure.data.sources import Reader, formats, sources
from nervure.errors import InputError
from nervure.registry import check_settings, nearest

__all__ = ["load"]

_COMMON = ("kind", "layout", "task", "standardize")


def load(
    source: str | os.PathLike[str] | Dataset | np.ndarray | Tensor,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    on_corrupt: Literal["refuse", "skip"] = "refuse",
    resplit: bool = False,
    **options: Any,
) -> Dataset:
    """A Dataset of a named source, a file, a folder, the hub, or arrays.

    Parameters
    ----------
    source : str, path, array or Dataset
        A name in ``nervure.data.sources``; a path, as given or within ``data_dir`` (``mnist`` also finds
        ``data_dir/mnist.npz``); ``FILE.npz:NAME`` for one set of an archive; ``hf:NAME`` for the hub. A
        name comes before a file of that name: write ``./digits`` for the file. A Dataset is returned as it
        is.
    data_dir : path, optional
        Where to look for files that are not found as given.
    validation, test : float
        Shares of these splits, cut from the training samples, or from all if the source has no splits; a
        split that the source gives is kept.
    seed : int
        Decides the splits.
    on_corrupt : {"refuse", "skip"}
        What to do with an image that cannot be decoded.
    resplit : bool
        Whether splits that the source gives are put together and cut anew; with ``validation`` and ``test`` of 0 all
        samples become the training split.
    **options
        ``kind``, ``layout``, ``task`` and ``standardize`` as in :func:`nervure.data.from_arrays`, and those
        of the source's own reader: ``size`` and ``splits`` for folders of pictures, ``label``, ``target``, ``window``,
        ``horizon``, ``stride``, ``skip``, ``label_by`` for ``.csv``, ``n``, ``noise`` and others for synthetic data. Of
        a ``.csv`` ``kind`` says whether a row is a series or a sample of features, if its header is not to decide.

    Returns
    -------
    Dataset
        ``load(ds.source, **ds.options)`` gives it again.

    Examples
    --------
    >>> ds = load("digits")
    >>> ds.x.shape, ds.task, len(ds.names), {name: len(at) for name, at in ds.splits.items()}
    ((1797, 1, 8, 8), 'classification', 10, {'train': 1258, 'validation': 180, 'test': 359})
    """
    if isinstance(source, Dataset):
        return source
    shares = _plain({"validation": validation, "test": test, "seed": seed})
    options = _plain(options)
    check_settings("load", load, {**shares, "on_corrupt": on_corrupt, "resplit": resplit}, given=1)
    if isinstance(source, np.ndarray | Stacked | Tensor):
        return _from_arrays(source.numpy() if isinstance(source, Tensor) else source, shares, options)
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise InputError(f"no source is called {source!r}; give a name, a path, or an array (from_arrays takes lists)")
    name = os.fspath(source)
    try:
        kind = options.get("kind") or LAYOUTS.get(str(options.get("layout")))
        shared = {"on_corrupt": on_corrupt, "validation": validation, "kind": kind}
        contents = _read(name, None if data_dir is None else Path(data_dir), shared, options)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error})") from error
    stated = {key: options[key] for key in ("kind", "layout", "task") if options.get(key) is not None}
    if stated.get("kind", contents.kind) != contents.kind:
        contents = dataclasses.replace(contents, layout=None, columns=())
    if resplit:
        contents = dataclasses.replace(contents, splits={})
    place = None if data_dir is None else os.fspath(data_dir)
    kept = {"data_dir": place, **shares, "on_corrupt": on_corrupt, "resplit": resplit}
    return assemble(
        dataclasses.replace(contents, **stated),
        **shares,
        standardize=options.get("standardize", True),
        source=name,
        options={key: value for key, value in kept.items() if value != _DEFAULTS[key]} | options,
    )


_DEFAULTS = {
    key: parameter.default
    for key, parameter in inspect.signature(load).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}


def _read(name: str, data_dir: Path | None, shared: dict[str, Any], options: dict[str, Any]) -> Contents:
    reader, argument = _find(name, data_dir)
    given = {key: options[key] for key in options if key not in _COMMON}
    _check_options(reader, len(argument), given, name)
    takes = inspect.signature(reader).parameters
    return reader(*argument, **given, **{key: value for key, value in shared.items() if key in takes})


def _from_arrays(x: Any, shares: dict[str, Any], options: dict[str, Any]) -> Dataset:
    known = tuple(inspect.signature(from_arrays).parameters)
    for key in options:
        if key not in known:
            raise InputError(f"unknown option {key!r} for arrays; {nearest(key, known[1:])}")
    return from_arrays(x, **(shares | options))


def _check_options(reader: Reader, places: int, given: dict[str, Any], name: str) -> None:
    parameters = inspect.signature(reader).parameters
    own = (key for key, one in parameters.items() if one.kind is one.KEYWORD_ONLY)
    known = tuple(dict.fromkeys((*own, *_COMMON)))
    for key in given:
        if key not in known or key == "name":
            raise InputError(f"{name}: unknown option {key!r}; {nearest(key, known)}")
    check_settings(name, reader, given, given=places)


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options whose numbers are Python's own, as a run's record keeps them."""
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in options.items()}


def _find(name: str, data_dir: Path | None) -> tuple[Reader, tuple[Any, ...]]:
    """The reader of a source, and what to call it with."""
    if name in sources:
        return sources.get(name), ()
    if name.startswith("hf:"):
        from nervure.data import hub

        return hub.read, (_local(name[3:], data_dir),)
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; give an existing one as data_dir")
    path = _existing(name, data_dir)
    if path is not None:
        return _reader(path)
    file, colon, member = name.rpartition(":")
    archive = _existing(file, data_dir) if colon and member else None
    if archive is not None and archive.suffix == ".npz":
        return _named_set(member), (archive,)
    raise InputError(_not_found(name, data_dir))


def _named_set(member: str) -> Reader:
    from nervure.data import npz

    def read(path: Path) -> Contents:
        return npz.read(path, name=member)

    return read


def _local(name: str, data_dir: Path | None) -> str:
    inside = data_dir / name if data_dir is not None else None
    return str(inside) if inside is not None and inside.is_dir() and not Path(name).exists() else name


def _existing(name: str, data_dir: Path | None) -> Path | None:
    path = Path(os.path.expanduser(name))  # as it is where there is no such home
    tried = [path]
    if data_dir is not None:
        tried += [data_dir / path, data_dir / f"{name}.npz"]
    return next((one for one in tried if one.exists()), None)


def _reader(path: Path) -> tuple[Reader, tuple[Path]]:
    from nervure.data import idx

    if path.is_dir():
        found = _series_file(path)
        if found is not None:
            return _reader(found)
        return _read_folder if _holds_idx(path) else formats.get("folder"), (path,)
    if idx.is_idx(path):
        return formats.get(".idx"), (path,)
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in formats and suffix != "folder":
        return formats.get(suffix), (path,)
    known = ", ".join(one for one in formats.names() if one != "folder")
    raise InputError(f"{path}: files that end in {suffix or 'nothing'!r} are not read; known are {known} and folders")


def _holds_idx(folder: Path) -> bool:
    from nervure.data import idx

    return any(idx.is_idx(path) and "images" in path.name for path in folder.iterdir())


def _read_folder(path: Path) -> Contents:
    from nervure.data import idx

    contents = idx.read_folder(path)
    assert contents is not None
    return contents


def _series_file(folder: Path) -> Path | None:
    """The training file of a folder that holds a ``_TRAIN`` file of series."""
    found = [path for end in (".ts", ".arff", ".tsv") for path in sorted(folder.glob(f"*_TRAIN{end}"))]
    return found[0] if found else None


def _not_found(name: str, data_dir: Path | None) -> str:
    known = sources.names()
    if data_dir is not None:
        known += tuple(sorted(path.name.removesuffix(".npz") for path in data_dir.iterdir()))
        return f"no source, file or folder {name!r}, neither as given nor in {data_dir}; {nearest(name, known)}"
    looked = f"no source named {name!r}, and no file or folder either"
    if os.sep in name or "." in name:
        return f"{name}: no such file or folder (give data_dir if it lies in another folder)"
    return f"{looked}; {nearest(name, known)}"
