"""numba's compiler of functions, one way for all kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from nervure.errors import MissingExtra

__all__ = ["jitted"]

F = TypeVar("F", bound=Callable[..., Any])


def jitted(**options: Any) -> Callable[[F], F]:
    """numba.njit, with a cache on disk where one can be written.

    >>> jitted()(lambda x: x + 1)(2)
    3
    """
    try:
        import numba
    except ImportError as error:
        raise MissingExtra("numba", "fast", "a compiled kernel") from error

    def decorate(function: F) -> F:
        try:
            return cast(F, numba.njit(cache=True, **options)(function))
        except RuntimeError:
            return cast(F, numba.njit(**options)(function))

    return decorate
