"""Settings on top of settings."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["merged"]


def merged(*layers: Mapping[str, object]) -> dict[str, object]:
    """Mappings laid over each other, the later one winning; mappings within them are merged likewise.

    >>> merged({"recipe": {"epochs": 9, "lr": 0.1}, "net": "a"}, {"recipe": {"epochs": 1}})
    {'recipe': {'epochs': 1, 'lr': 0.1}, 'net': 'a'}
    """
    result: dict[str, object] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                below = result.get(key)
                result[key] = merged(below if isinstance(below, Mapping) else {}, value)
            else:
                result[key] = value
    return result
