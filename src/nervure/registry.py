"""Static tables: name -> ("package.module:attribute", one line, source).

A table imports nothing until ``get`` is called, so listing what exists is cheap, and one method's
dependencies never burden another. Other packages add rows through entry points in the group
``nervure.<kind>``; their rows never replace ours. What a row stands for is made with settings that users
give by name, so these are checked here, for every kind of thing.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

from nervure.errors import InputError

__all__ = ["Row", "Table", "check_settings", "nearest", "resolve", "takes"]

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

    def make(self, name: str, settings: Mapping[str, object], *given: object) -> Any:
        """Call what ``name`` stands for with what the caller gives and the settings of a user, which are checked.

        >>> Table("sum", {"round": ("builtins:round", "a whole number", "")}, group="doc.sums").make("round", {}, 2.5)
        2
        """
        what, factory = f"{self.kind} {name!r}", self.get(name)
        assert callable(factory)
        check_settings(what, factory, settings, given=len(given))
        try:
            return factory(*given, **settings)
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            said = ", ".join(f"{one}={value!r}" for one, value in settings.items()) or "its defaults"
            raise InputError(f"{what} cannot be made with {said}: {error}") from error

    def seeded(self, name: str, seed: int, settings: Mapping[str, object] | None = None) -> Any:
        """As :meth:`make`, with ``seed`` where it is taken and the settings give none.

        >>> table = Table("generator", {"old": ("numpy.random:RandomState", "Mersenne twister", "")}, group="doc.draws")
        >>> table.seeded("old", 3).randint(100) == table.seeded("old", 0, {"seed": 3}).randint(100)
        True
        """
        factory = self.get(name)
        assert callable(factory)
        drawn = {"seed": seed} if "seed" in (takes(factory) or ()) else {}
        return self.make(name, {**drawn, **(settings or {})})

    def name_of(self, made: object) -> str:
        """The name under which the class of ``made`` stands in the table, or the class's own.

        >>> table = Table("number", {"whole": ("builtins:int", "a whole number", "")}, group="doc.numbers")
        >>> table.name_of(3), table.name_of(0.5)
        ('whole', 'float')
        """
        target = f"{type(made).__module__}:{type(made).__qualname__}"
        return next((name for name, row in self.rows.items() if row.target == target), type(made).__name__)

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
    hint = f"did you mean {close[0]!r}? There" if close else "there"
    return f"{hint} are: {', '.join(known)}"


def takes(factory: Callable[..., object], given: int = 0) -> tuple[str, ...] | None:
    """The names of a factory's settings, without its first ``given`` arguments; None if it takes any.

    >>> takes(lambda net, rate=0.5, _hidden=1: None, given=1)
    ('rate',)
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())[given:]
    except (TypeError, ValueError):
        return None
    fixed = factory.keywords if isinstance(factory, functools.partial) else {}
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    names = (one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))
    return tuple(name for name in names if not name.startswith("_") and name not in fixed)


def check_settings(
    what: str, factory: Callable[..., object], settings: Mapping[str, object], *, given: int = 0
) -> None:
    """Refuse a setting that a factory does not take, or of another kind than its annotation says.

    Parameters
    ----------
    what : str
        What the settings are of, for the message: ``"criterion 'l1'"``.
    factory : callable
    settings : mapping
        As a user gave them, by name.
    given : int
        How many arguments the caller itself gives before them.

    Examples
    --------
    >>> def half(x, times: int = 1): ...
    >>> check_settings("half", half, {"times": "a"}, given=1)
    Traceback (most recent call last):
    nervure.errors.InputError: half: times = 'a'; give a valid integer
    >>> check_settings("half", half, {"time": 2}, given=1)
    Traceback (most recent call last):
    nervure.errors.InputError: half has no setting 'time'; did you mean 'times'? There are: times
    """
    known = takes(factory, given)
    for name in settings:
        if known is not None and name not in known:
            raise InputError(f"{what} has no setting {name!r}; {nearest(name, known) if known else 'it takes none'}")
    kinds = _kinds(factory)
    for name, value in settings.items():
        if name in kinds and (wanted := _unlike(value, kinds[name])):
            raise InputError(f"{what}: {name} = {value!r}; {wanted}")


def _kinds(factory: Callable[..., object]) -> dict[str, Any]:
    """The annotations of a factory's arguments, as far as they can be read where it stands."""
    factory = factory.func if isinstance(factory, functools.partial) else factory
    described = factory.__init__ if inspect.isclass(factory) and not dataclasses.is_dataclass(factory) else factory
    try:
        return get_type_hints(described)
    except (NameError, TypeError, AttributeError):
        return {}


def _unlike(value: object, kind: Any) -> str:
    """What to give in place of a value of another kind; nothing if it is of this one.

    A list may stand for a tuple. What a kind says of classes is left to the factory, which says it in its own words.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError
    from pydantic_core import SchemaError

    try:
        adapter = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticUserError, SchemaError):  # a kind of its own rules, or one that nothing can be held against
        return ""
    try:
        adapter.validate_python(value, strict=not isinstance(value, list | dict))
    except ValidationError as error:
        if all(one["type"] != "is_instance_of" for one in error.errors()):
            said = (one["msg"].removeprefix("Input should be ").partition(", unable")[0] for one in error.errors())
            return f"give {' or '.join(dict.fromkeys(said))}"
    return ""
