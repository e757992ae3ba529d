"""Optional packages of the extra ``report``: asked for once, where they are used."""

from __future__ import annotations

import importlib.util
import sys

from nervure.errors import MissingExtra

__all__ = ["available", "need"]


def available(package: str) -> bool:
    """Whether ``package`` can be imported, without importing it.

    >>> available("json"), available("no_such_package")
    (True, False)
    """
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def need(package: str, job: str) -> None:
    """Refuse in one clear line when ``package`` is not installed.

    >>> need("no_such_package", "drawing")
    Traceback (most recent call last):
    nervure.errors.MissingExtra: drawing needs no_such_package, which is not installed; \
run: pip install 'nervure[report]'
    """
    if not available(package):
        raise MissingExtra(package, "report", job)
