"""The few kinds of error that Nervure raises: each message says what, where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["DivergedError", "InputError", "InterruptedWork", "MissingExtra", "NervureError", "RunError"]


class NervureError(Exception):
    """Base of every error that Nervure raises on purpose.

    The command line prints its message as one line and exits with ``exit_code``.
    """

    exit_code = 1


class InputError(NervureError, ValueError):
    """What the caller gave cannot be used: a file, a shape, a name, a setting.

    >>> raise InputError("k = 0; give k of 2 or more")
    Traceback (most recent call last):
    nervure.errors.InputError: k = 0; give k of 2 or more
    """

    exit_code = 2


class RunError(InputError):
    """A folder is no valid run: missing, truncated, edited, or of an unknown version."""


class MissingExtra(InputError):
    """An optional dependency is not installed; the message gives the command that installs it."""

    def __init__(self, package: str, extra: str, job: str) -> None:
        super().__init__(f"{job} needs {package}, which is not installed; run: pip install 'nervure[{extra}]'")


class DivergedError(NervureError):
    """Numbers became NaN or infinite; while training, the last good checkpoint is kept."""


class InterruptedWork(NervureError):
    """Work was stopped on request, at a point from which it can go on."""

    exit_code = 130


def first_wrong(error: ValidationError) -> str:
    """The first thing that a check of fields found wrong, as ``field: what``.

    >>> from pydantic import BaseModel
    >>> class Pair(BaseModel):
    ...     first: int
    >>> try:
    ...     Pair(first="one")
    ... except ValueError as error:
    ...     first_wrong(error)
    'first: Input should be a valid integer, unable to parse string as an integer'
    """
    first = error.errors()[0]
    where, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said
