"""Examples of docstrings that end in a doctest without a heading get one, so that these pages show them as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"(?:\A|\n)(?=>>> )")


class Headed(griffe.Extension):
    """Puts the heading ``Examples`` above a docstring's first doctest, where it has none."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of each thing that was read."""
        if obj.docstring is not None:
            obj.docstring.value = headed(obj.docstring.value)


def headed(text: str) -> str:
    r"""The text of a docstring with a heading above its examples.

    >>> headed("One line.\n\n>>> 1 + 1\n2")
    'One line.\n\nExamples\n--------\n>>> 1 + 1\n2'
    """
    if re.search(r"^Examples\n-+$", text, re.M):
        return text
    return DOCTEST.sub("\nExamples\n--------\n", text, count=1)
