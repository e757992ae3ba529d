"""run.json: what a run's folder says of itself, checked before anything else is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nervure.errors import RunError, first_wrong

__all__ = ["SCHEMA", "Record", "digest_of", "migrations", "parse", "render"]

SCHEMA = 2


def _weights_may_be_packed(record: dict[str, object]) -> dict[str, object]:
    """Version 2 says that weights with many zeros may be stored packed; those of version 1 are plain."""
    return {**record, "schema_version": 2}


migrations: dict[int, Callable[[dict[str, object]], dict[str, object]]] = {1: _weights_may_be_packed}
"""From each old schema version to the next; a record is lifted step by step."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    options: dict[str, object]
    fingerprint: str
    kind: Literal["image", "series", "table"]
    task: Literal["classification", "regression", "clustering", "none"]
    names: list[str]
    in_shape: list[int]
    preprocessing: dict[str, object]


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    settings: dict[str, object]
    seed: int | None
    command: str = ""


class Record(BaseModel):
    """The content of ``run.json``; ``files`` maps each other file to its SHA-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    origin: dict[str, object] | None
    lineage: list[_Action]
    data: _Data
    metrics: dict[str, float | None]
    versions: dict[str, str]
    files: dict[str, str]


def render(record: Record) -> dict[str, object]:
    """The record as JSON data, with a digest of itself."""
    data = record.model_dump(mode="json")
    return {**data, "digest": digest_of(data)}


def parse(path: Path) -> Record:
    """Read and check ``run.json``: whole, unedited, and of a version that this Nervure knows."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = "not a run (it has no run.json)" if path.parent.exists() else "no such folder"
        raise RunError(f"{path.parent}: {what}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error}); the run is damaged") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), int):
        raise RunError(f"{path}: not a run's record")
    digest = data.pop("digest", None)
    if digest != digest_of(data):
        raise RunError(f"{path}: was edited or damaged (its digest does not match); restore the original file")
    version = data["schema_version"]
    if version > SCHEMA:
        raise RunError(f"{path}: schema version {version} is newer than {SCHEMA}; update nervure to read it")
    while version < SCHEMA:
        if version not in migrations:
            raise RunError(f"{path}: schema version {version} is too old to be read")
        data = migrations[version](data)
        version += 1
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        raise RunError(f"{path}: {first_wrong(error)}") from error


def digest_of(data: Mapping[str, object]) -> str:
    """SHA-256 of JSON data in one canonical spelling."""
    return hashlib.sha256(
        json.dumps(data, sort_keys=True, ensure_ascii=False).encode(errors="surrogatepass")
    ).hexdigest()
