"""Names for shell completion, read from the source of the static tables: no room is imported, so it is quick."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

__all__ = ["choices", "fields", "rows"]

_PACKAGE = Path(__file__).resolve().parent.parent

Completer = Callable[[str], list[tuple[str, str]]]


def rows(file: str, kind: str) -> Completer:
    """A completer for the rows of the table of ``kind`` that ``file`` of the package holds.

    >>> rows("nets/table.py", "network")("lenet-3")
    [('lenet-300-100', 'dense 300-100, for any data')]
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        found = dict(_others(file, kind)) | dict(_rows(file, kind))
        return [(name, line) for name, line in sorted(found.items()) if name.startswith(incomplete)]

    return complete


def choices(file: str, field: str) -> Completer:
    """A completer for a field that is declared as ``Literal`` of texts.

    >>> choices("train/recipe.py", "optimizer")("ad")
    [('adam', ''), ('adamw', '')]
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        declared = (node for node in ast.walk(_tree(file)) if isinstance(node, ast.AnnAssign))
        of = next(node.annotation for node in declared if isinstance(node.target, ast.Name) and node.target.id == field)
        texts = [one.value for one in ast.walk(of) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        return [(text, "") for text in texts if text.startswith(incomplete)]

    return complete


def fields(classes: Mapping[str, str], also: tuple[str, ...] = ()) -> Completer:
    """A completer for ``KEY=``, where keys are fields of classes, each behind a prefix, and what is in ``also``.

    ``classes`` maps ``"file:Class"`` to the prefix.

    >>> fields({"train/recipe.py:Recipe": "recipe."}, also=("samples",))("recipe.epo")
    [('recipe.epochs=', '')]
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        keys = [*also, *(f"{prefix}{name}" for where, prefix in classes.items() for name in _fields(where))]
        return [(f"{key}=", "") for key in keys if key.startswith(incomplete)]

    return complete


def _fields(where: str) -> Iterator[str]:
    file, _, kind = where.partition(":")
    of = next(node for node in _tree(file).body if isinstance(node, ast.ClassDef) and node.name == kind)
    for node in of.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _tree(file: str) -> ast.Module:
    return ast.parse((_PACKAGE / file).read_text(encoding="utf-8"))


def _table(file: str, kind: str) -> ast.Call:
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table":
            first = node.args[0]
            if isinstance(first, ast.Constant) and first.value == kind:
                return node
    raise LookupError(f"{file}: no table of kind {kind!r}")


def _rows(file: str, kind: str) -> Iterator[tuple[str, str]]:
    held = _table(file, kind).args[1]
    assert isinstance(held, ast.Dict)
    for name, row in zip(held.keys, held.values, strict=True):
        assert name is not None and isinstance(row, ast.Tuple)
        yield ast.literal_eval(name), ast.literal_eval(row.elts[1])


def _others(file: str, kind: str) -> Iterator[tuple[str, str]]:
    """Rows that other packages add."""
    group = next(keyword.value for keyword in _table(file, kind).keywords if keyword.arg == "group")
    for point in metadata.entry_points(group=ast.literal_eval(group)):
        yield point.name, f"from {point.dist.name}" if point.dist else ""
