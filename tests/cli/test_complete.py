"""Completion reads the tables' source; it must know what the tables know."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from nervure import cluster, data, nets, objectives
from nervure.cli import complete
from nervure.prune.criteria import criteria
from nervure.prune.recover.fine_tune import FineTune
from nervure.registry import Table
from nervure.train import Recipe, callbacks

TABLES = {
    "nets/table.py": nets.table.networks,
    "data/sources.py": data.sources,
    "objectives/__init__.py": objectives.table,
    "train/callbacks.py": callbacks.table,
    "cluster/__init__.py": cluster.clusterers,
    "prune/criteria/__init__.py": criteria,
}


@pytest.mark.parametrize("file", TABLES)
def test_rows_are_those_of_the_table(file: str) -> None:
    table: Table[object] = TABLES[file]
    found = complete.rows(file, table.kind)
    assert dict(found("")) == {name: table.row(name).line for name in table.names()}
    first = table.names()[0]
    assert [name for name, _ in found(first)] == sorted(name for name in table.names() if name.startswith(first))
    assert found("no-such") == []


@pytest.mark.parametrize("field", ["optimizer", "schedule", "precision"])
def test_choices_are_those_of_the_recipe(field: str) -> None:
    known = typing.get_args(Recipe.model_fields[field].annotation)
    assert [name for name, _ in complete.choices("train/recipe.py", field)("")] == list(known)


def test_fields_are_those_of_the_classes() -> None:
    classes = {"train/recipe.py:Recipe": "recipe.", "prune/recover/fine_tune.py:FineTune": ""}
    found = [name for name, _ in complete.fields(classes, also=("samples",))("")]
    assert found == [
        "samples=", *(f"recipe.{name}=" for name in Recipe.model_fields),
        *(f"{one.name}=" for one in dataclasses.fields(FineTune)),
    ]  # fmt: skip


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(LookupError, match="no table of kind 'rose'"):
        complete.rows("nets/table.py", "rose")("")
