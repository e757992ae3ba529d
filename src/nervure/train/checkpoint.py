"""Checkpoints: one file that holds training whole, written at once or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError
from nervure.nets.build import rebuild
from nervure.nets.origin import Base, Origin, origin_of
from nervure.store.run import Run
from nervure.store.tree import load_tree, save_tree
from nervure.train.loop import Loop
from nervure.train.recipe import Recipe

__all__ = ["about", "check_data", "check_network", "clear", "file_of", "network_of", "read", "write"]


def file_of(out: Path) -> Path:
    """Where a run's folder keeps the checkpoint of unfinished training."""
    return out / "checkpoint" / "state.safetensors"


def write(out: Path, loop: Loop) -> None:
    """Keep the loop as it is; the previous checkpoint is replaced only when this one is whole."""
    origin = origin_of(loop.net)
    header = {
        "recipe": loop.recipe.to_json(),
        "data": about(loop.ds),
        "origin": None if origin is None else origin.to_json(),
    }
    save_tree(file_of(out), {**header, **loop.state()})


def about(what: Dataset | Run) -> dict[str, Any]:
    """What training on a data set depends on: its values, how they are scaled, and the order of its classes."""
    names = list(what.names) if what.task == "classification" else []
    return {"fingerprint": what.fingerprint, "preprocessing": what.preprocessing.to_json(), "names": names}


def check_data(held: Mapping[str, Any], ds: Dataset, out: Path) -> None:
    """Refuse data that is not what the training in ``out`` was about."""
    now = about(ds)
    if held["fingerprint"] != now["fingerprint"]:
        raise InputError(f"{out} was trained on other data (the fingerprints differ)")
    if held["preprocessing"] != now["preprocessing"]:
        raise InputError(f"{out} was trained on data that was scaled otherwise; load it with the same options")
    if held["names"] and held["names"] != now["names"]:
        raise InputError(f"{out} was trained on classes {_few(held['names'])}; these are {_few(now['names'])}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "none"


def read(out: Path, recipe: Recipe, ds: Dataset) -> dict[str, Any]:
    """The checkpoint of ``out``, refused with the difference if it is of another recipe or other data."""
    state: dict[str, Any] = load_tree(file_of(out))
    if differences := Recipe.of(state["recipe"]).difference(recipe):
        raise InputError(f"{out} was started with another recipe: {'; '.join(differences)}")
    check_data(state["data"], ds, out)
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
