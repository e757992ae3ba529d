"""Checkpoints: one file that holds training whole, written at once or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nervure.errors import InputError
from nervure.nets.build import rebuild
from nervure.nets.origin import Origin, origin_of
from nervure.store.tree import load_tree, save_tree
from nervure.train.loop import Loop
from nervure.train.recipe import Recipe

__all__ = ["clear", "file_of", "network_of", "read", "write"]


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
    origin = origin_of(given)
    if state["origin"] is None or origin is None:
        if (state["origin"] is None) != (origin is None):
            raise InputError(f"{out} was started with another network")
        return given
    held = Origin.from_json(state["origin"])
    if held.base != origin.base or held.steps[: len(origin.steps)] != origin.steps:
        raise InputError(f"{out} was started with another network: {held.base.spec}, not {origin.base.spec}")
    return given if held == origin else rebuild(held, build=build)


def clear(out: Path) -> None:
    """Remove the checkpoint of training that has been saved as a run."""
    shutil.rmtree(file_of(out).parent, ignore_errors=True)
