"""Braces in names: many names that differ in a word or a number, written as one."""

from __future__ import annotations

import itertools
import re

__all__ = ["spelled_out"]

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def spelled_out(name: str) -> tuple[str, ...]:
    """Every name that one with braces stands for; the choices of the last braces change first.

    >>> spelled_out("{l1,votes} layer {2..4}")[:4]
    ('l1 layer 2', 'l1 layer 3', 'l1 layer 4', 'votes layer 2')
    >>> spelled_out("accuracy")
    ('accuracy',)
    """
    parts = _BRACES.split(name)
    choices = [_choices(part) if at % 2 else [part] for at, part in enumerate(parts)]
    return tuple("".join(chosen) for chosen in itertools.product(*choices))


def _choices(text: str) -> list[str]:
    """What stands between braces: words with commas, or whole numbers from one to another."""
    between = _RANGE.fullmatch(text)
    if between is None:
        return [one.strip() for one in text.split(",")]
    return [str(number) for number in range(int(between[1]), int(between[2]) + 1)]
