"""Records: one JSON file a trial, whole or not there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from nervure.errors import InputError
from nervure.store.atomic import write_json
from nervure.study.grid import Trial

__all__ = ["Record", "read", "write"]

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Record:
    """What came of one trial: measures, seconds and environment, or the line of its error.

    ``digest`` is that of the file that its data came from; empty where data needs no file, and of older records.
    """

    trial: Trial
    metrics: dict[str, float] = field(default_factory=dict)
    durations: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str | int] = field(default_factory=dict)
    error: str | None = None
    digest: str = ""

    @property
    def done(self) -> bool:
        """Whether the trial gave measures."""
        return self.error is None

    def to_json(self) -> dict[str, object]:
        """As plain JSON data."""
        return {
            "schema": SCHEMA,
            "key": self.trial.key,
            **self.trial.to_json(),
            "metrics": self.metrics,
            "durations": self.durations,
            "environment": self.environment,
            "error": self.error,
            "data_digest": self.digest,
        }


def path_of(out: Path, trial: Trial) -> Path:
    """Where a trial's record lies within a study's folder."""
    return out / "trials" / f"{trial.key}.json"


def write(out: Path, record: Record) -> None:
    """Keep a record; an earlier one of the same trial is replaced.

    >>> import tempfile
    >>> trial = Trial("mine", "smoke", "base", 0, "train", {"source": "digits"}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder), Record(trial, metrics={"accuracy": 0.5}))
    ...     read(Path(folder), trial).metrics
    {'accuracy': 0.5}
    """
    write_json(path_of(out, record.trial), record.to_json())


def read(out: Path, trial: Trial) -> Record | None:
    """The record of a trial, or None if there is none; a file that is no record is refused."""
    path = path_of(out, trial)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not the record of a trial ({error}); delete it to run the trial again") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA or values.get("key") != trial.key:
        raise InputError(f"{path}: not the record of {trial}; delete it to run the trial again")
    kept = {name: values[name] for name in ("metrics", "durations", "environment", "error")}
    return Record(trial, **kept, digest=values.get("data_digest", ""))
