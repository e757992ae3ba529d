"""Every example in a docstring of the package is run.

Modules are imported by name, once: pytest's own collector would import files a second time, and put a module in the
place of the function of the same name (``nervure.prune.plan``).
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import nervure

HOME = Path(nervure.__file__).parent
FLAGS = doctest.ELLIPSIS


def name_of(file: Path) -> str:
    parts = file.relative_to(HOME.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


WITH_EXAMPLES = sorted(name_of(file) for file in HOME.rglob("*.py") if ">>> " in file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of(name: str) -> None:
    module = importlib.import_module(name)
    found = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    said: list[str] = []
    for test in found:
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert found
    assert not said, "".join(said)


def test_a_wrong_example_is_noticed() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    said: list[str] = []
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append).failed == 1
    assert said
