"""Checkpoints: one file that holds training whole, written at once or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nervure.errors import InputError
from nervure.nets.build import rebuild
from nervure.nets.origin import Base, Origin, origin_of
from nervure.store.tree import load_tree, save_tree
from nervure.train.loop import Loop
from nervure.train.recipe import Recipe

__all__ = ["check_network", "clear", "file_of", "network_of", "read", "write"]


def file_of(out: Path) -> Path:
    """Where a run's folder keeps the checkpoint of unfinished training."""
    return out / "checkpoint" / "state.safetensors"


def write(out: Path, loop: Loop) -> None:
    """Keep the loop as it is; the previous checkpoint is replaced only when this one is whole."""
    origin = origin_of(loop.net)
    header = {
        "recipe": loop.recipe.to_json(),
        "fingerprint": loop.ds.fingerprint,
        "origin": None if origin is None else origin.to_json(),
    }
    save_tree(file_of(out), {**header, **loop.state()})


def read(out: Path, recipe: Recipe, fingerprint: str) -> dict[str, Any]:
    """The checkpoint of ``out``, refused with the difference if it is of another recipe or other data."""
    state: dict[str, Any] = load_tree(file_of(out))
    if differences := Recipe.of(state["recipe"]).difference(recipe):
        raise InputError(f"{out} was started with another recipe: {'; '.join(differences)}")
    if state["fingerprint"] != fingerprint:
        raise InputError(f"{out} was started on other data (the fingerprints differ)")
    return state


def network_of(
    state: Mapping[str, Any], given: nn.Module, out: Path, build: str | Callable[..., nn.Module] | None
) -> nn.Module:
    """The network that a checkpoint's weights fit: rebuilt if its structure changed on the way."""
    held = None if state["origin"] is None else Origin.from_json(state["origin"])
    origin = origin_of(given)
    check_network(held, origin, out)
    return given if held is None or held == origin else rebuild(held, build=build)


def check_network(held: Origin | None, origin: Origin | None, out: Path) -> None:
    """Refuse to go on with a network that does not begin as the one held in ``out``."""
    if held is None or origin is None:
        if held is not origin:
            raise InputError(f"{out} was started with another network")
    elif held.base != origin.base or held.steps[: len(origin.steps)] != origin.steps:
        raise InputError(f"{out} was started with another network: {_difference(held, origin)}")


def _difference(held: Origin, origin: Origin) -> str:
    """In what two networks differ: in what they were built from, or else in a step since."""
    if held.base != origin.base:
        return f"{_named(held.base)}, not {_named(origin.base)}"
    for number, step in enumerate(origin.steps):
        was = held.steps[number] if number < len(held.steps) else None
        if was is None or was.kind != step.kind:
            return f"step {number + 1} was {repr(was.kind) if was else 'not made'}, and is {step.kind!r} now"
        for name in {**was.settings, **step.settings}:
            if (one := was.settings.get(name)) != (other := step.settings.get(name)):
                return f"{step.kind} with {name}={one}, not {other}"
    return ""


def _named(base: Base) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in base.settings.items())
    return (base.spec if isinstance(base.spec, str) else "a blueprint") + (f" with {settings}" if settings else "")


def clear(out: Path) -> None:
    """Remove the checkpoint of training that has been saved as a run."""
    shutil.rmtree(file_of(out).parent, ignore_errors=True)
