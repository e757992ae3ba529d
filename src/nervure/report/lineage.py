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

_TYPED = ("train", "prune", "sparsify")


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
    """What to type to make the run again; nothing where that is not known of each of its steps.

    What a run recorded is shown, and the training that a run tells of where it is all that was done, to a network that
    a name or a function makes.

    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> from nervure.nets.origin import Base, Origin
    >>> trained = {"action": "train", "seed": 0, "settings": {"epochs": 3, "seed": 0}}
    >>> origin = Origin(Base("name", "mlp", (1, 8, 8), 10, {}))
    >>> command(SimpleNamespace(lineage=[trained], source="digits", path=Path("runs/base"), origin=origin))
    'nervure train digits --net mlp --set epochs=3 --seed 0 -o runs/base'
    """
    entries = [_entry(one) for one in run.lineage]
    names = [entry.get("action") or entry.get("name") for entry in entries]
    # What follows "shape" was done by the command that trained.
    own = entries[: names.index("shape")] if "shape" in names else entries
    typed = [str(entry["command"]) for entry in entries if entry.get("command")]
    if typed and all(entry.get("command") for entry, name in zip(own, names, strict=False) if name in _TYPED):
        return "\n".join(typed)
    origin = getattr(run, "origin", None)
    if names != ["train"] or not run.source or origin is None or origin.steps or not isinstance(origin.base.spec, str):
        return ""
    words = ["nervure", "train", run.source, *_assigned("--data-option", getattr(run, "options", {}))]
    words += ["--net", origin.base.spec, *_assigned("--net-option", origin.base.settings)]
    settings, seed = entries[0].get("settings"), entries[0].get("seed")
    words += _assigned("--set", _unusual(settings) if isinstance(settings, Mapping) else {})
    words += ["--seed", str(seed)] if seed is not None else []
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
