"""Static tables: name -> ("package.module:attribute", one line, source).

A table imports nothing until ``get`` is called, so listing what exists is cheap, and one method's
dependencies never burden another. Other packages add rows through entry points in the group
``nervure.<kind>``; their rows never replace ours.
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Mapping
from importlib import metadata
from typing import Generic, NamedTuple, TypeVar

from nervure.errors import InputError

__all__ = ["Row", "Table", "nearest", "resolve"]

T = TypeVar("T")


class Row(NamedTuple):
    """One row of a table: where the object lives, what it does in a line, and where it comes from."""

    target: str
    line: str
    source: str


class Table(Generic[T]):
    """Names of one kind of thing, each resolved by importing one file.

    Parameters
    ----------
    kind : str
        Singular, lower case: ``"criterion"``. Used in messages.
    rows : mapping of name to ``(target, line, source)``
        ``target`` is ``"package.module:attribute"``.
    group : str
        Entry-point group in which other packages add rows.

    Examples
    --------
    >>> table = Table("sum", {"add": ("operator:add", "a + b", "arithmetic")}, group="doc.sums")
    >>> table.names()
    ('add',)
    >>> table.get("add")(1, 2)
    3
    >>> table.get("adds")
    Traceback (most recent call last):
    nervure.errors.InputError: unknown sum 'adds'; did you mean 'add'? There are: add
    """

    def __init__(self, kind: str, rows: Mapping[str, tuple[str, str, str]], *, group: str) -> None:
        self.kind = kind
        self.group = group
        self._rows = {name: Row(*row) for name, row in rows.items()}

    @functools.cached_property
    def rows(self) -> dict[str, Row]:
        """All rows: ours first, then those of installed packages, by name."""
        found = dict(self._rows)
        for point in sorted(metadata.entry_points(group=self.group), key=lambda point: point.name):
            owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
            found.setdefault(point.name, Row(point.value, f"from {owner}", owner))
        return found

    def names(self) -> tuple[str, ...]:
        """Every name, without importing anything."""
        return tuple(self.rows)

    def row(self, name: str) -> Row:
        """The row of ``name``; a missed name answers with the nearest one and the list."""
        try:
            return self.rows[name]
        except KeyError:
            raise InputError(f"unknown {self.kind} {name!r}; {nearest(name, self.names())}") from None

    def get(self, name: str) -> T:
        """Import and return what ``name`` stands for."""
        return resolve(self.row(name).target)  # type: ignore[return-value]

    def __contains__(self, name: object) -> bool:
        return name in self.rows


def resolve(target: str) -> object:
    """Import ``"package.module:attribute"`` and return the attribute."""
    module, _, attribute = target.partition(":")
    value: object = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def nearest(name: str, known: tuple[str, ...]) -> str:
    """The end of a message about a missed name: the nearest one, and the list."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}There are: {', '.join(known)}"
