"""Names for shell completion and lists, read from the source of static tables: quick, as no room is imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nervure.registry import Table

__all__ = ["choices", "fields", "rows", "table"]

_PACKAGE = Path(__file__).resolve().parent.parent

Completer = Callable[[str], list[tuple[str, str]]]


def rows(file: str, kind: str) -> Completer:
    """A completer for the rows of the table of ``kind`` that ``file`` of the package holds.

    >>> rows("nets/table.py", "network")("lenet-3")
    [('lenet-300-100', 'dense 300-100, for any data')]
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        found = sorted(table(file, kind).rows.items())
        return [(name, row.line) for name, row in found if name.startswith(incomplete)]

    return complete


def table(file: str, kind: str) -> Table[object]:
    """The table of ``kind`` that ``file`` of the package holds, with all but what its rows stand for.

    >>> table("sparsify/criteria/__init__.py", "edge criterion").row("isparse").source
    'Garg, thesis, chapter 4'
    """
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table":
            first, held = node.args
            if isinstance(first, ast.Constant) and first.value == kind and isinstance(held, ast.Dict):
                group = next(keyword.value for keyword in node.keywords if keyword.arg == "group")
                ours = dict(map(_row, held.keys, held.values))
                return Table(kind, ours, group=ast.literal_eval(group))
    raise LookupError(f"{file}: no table of kind {kind!r}")


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


def _row(name: ast.expr | None, row: ast.expr) -> tuple[str, tuple[str, str, str]]:
    assert name is not None and isinstance(row, ast.Tuple)
    return ast.literal_eval(name), ("", ast.literal_eval(row.elts[1]), ast.literal_eval(row.elts[2]))
