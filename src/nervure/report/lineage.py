"""How a run was made: the steps of its lineage, and what to type to make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nervure.report.markup import number
from nervure.report.page import Passage

if TYPE_CHECKING:
    from nervure.report.run_page import RunLike

__all__ = ["command", "flat", "passages"]


def passages(lineage: Iterable[object]) -> tuple[Passage, ...]:
    """The steps of a lineage; each is a mapping, or has the attributes ``name``, ``settings`` and ``seed``.

    >>> passages([{"action": "train", "settings": {"epochs": 3}, "seed": 0}])
    (Passage(name='train', settings=(('epochs', '3'), ('seed', '0')), note=''),)
    """
    return tuple(_passage(_entry(one)) for one in lineage)


def _entry(one: object) -> dict[str, object]:
    if isinstance(one, Mapping):
        return dict(one)
    return {
        key: getattr(one, key) for key in ("name", "action", "settings", "seed", "time", "command") if hasattr(one, key)
    }


def _passage(entry: Mapping[str, object]) -> Passage:
    settings = entry.get("settings")
    pairs = flat(settings) if isinstance(settings, Mapping) else []
    if entry.get("seed") is not None and "seed" not in dict(pairs):
        pairs.append(("seed", str(entry["seed"])))
    name = entry.get("action") or entry.get("name") or "step"
    return Passage(str(name), tuple(pairs), str(entry.get("time") or ""))


def flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as pairs of text, those inside others by their path.

    >>> flat({"epochs": 3, "options": {"gamma": 2.0}})
    [('epochs', '3'), ('options.gamma', '2')]
    """
    found: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.extend(flat(value, f"{name}."))
        elif isinstance(value, list | tuple):
            shown = ", ".join(str(item) for item in value[:8]) + (" …" if len(value) > 8 else "")
            found.append((name, shown or "none"))
        elif value is not None:
            found.append((name, number(value) if isinstance(value, float) else str(value)))
    return found


def command(run: RunLike) -> str:
    """What to type to make the run again: what its lineage recorded, or else the training it tells of.

    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> trained = {"action": "train", "seed": 0, "settings": {"epochs": 3, "seed": 0}}
    >>> command(SimpleNamespace(lineage=[trained], source="digits", path=Path("runs/base")))
    'nervure train digits --set epochs=3 --seed 0 -o runs/base'
    """
    entries = [_entry(one) for one in run.lineage]
    typed = [str(entry["command"]) for entry in entries if entry.get("command")]
    if typed:
        return "\n".join(typed)
    train = next((entry for entry in entries if (entry.get("action") or entry.get("name")) == "train"), None)
    if train is None or not run.source:
        return ""
    words = ["nervure", "train", run.source, *_assigned("--data-option", getattr(run, "options", {}))]
    base = getattr(getattr(run, "origin", None), "base", None)
    if base is not None and isinstance(base.spec, str):
        words += ["--net", base.spec, *_assigned("--net-option", base.settings)]
    settings = train.get("settings")
    words += _assigned("--set", _unusual(settings) if isinstance(settings, Mapping) else {})
    words += ["--seed", str(train["seed"])] if train.get("seed") is not None else []
    return shlex.join([*words, "-o", str(run.path or "runs/again")])


def _assigned(option: str, values: Mapping[str, object]) -> list[str]:
    """``--option key=value`` for each value, as JSON where it is no text."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return [word for key, text in texts.items() for word in (option, f"{key}={text}")]


def _unusual(settings: Mapping[str, object]) -> dict[str, object]:
    """The fields of a recipe that are not as they are by default, without the seed."""
    from nervure.train.recipe import Recipe

    usual = Recipe().to_json()
    return {key: value for key, value in settings.items() if key != "seed" and value != usual.get(key)}
