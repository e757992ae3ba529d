"""The trials of a study: arms by seeds, each with a key that says what it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from nervure.study.table import Study

__all__ = ["Trial", "grid"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One call of a study's function, before it is made."""

    study: str
    profile: str
    arm: str
    seed: int
    trial: str
    data: dict[str, object]
    settings: dict[str, object]

    def to_json(self) -> dict[str, object]:
        """As plain JSON data: what stands at the head of its record."""
        return {
            "study": self.study,
            "profile": self.profile,
            "arm": self.arm,
            "seed": self.seed,
            "trial": self.trial,
            "data": self.data,
            "settings": self.settings,
        }

    @property
    def key(self) -> str:
        """A digest of everything that decides the outcome, machine apart: 16 hexadecimal digits."""
        text = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.study} {self.profile}: {self.arm}, seed {self.seed}"


def grid(study: Study, profile: str, seeds: int | None = None) -> tuple[Trial, ...]:
    """Every trial of a profile, seed by seed, so that a study cut short has all arms at fewer seeds.

    >>> from nervure.study.table import load
    >>> [str(trial) for trial in grid(load("digits-lenet5"), "smoke", seeds=1)]
    ['digits-lenet5 smoke: base, seed 0']
    """
    count = seeds or study.profile(profile).seeds or study.seeds
    data: dict[str, object] = {"source": study.data.source, "options": study.data.options}
    return tuple(
        Trial(study.name, profile, arm, seed, study.trial, data, study.trial_settings(arm, profile))
        for seed in range(count)
        for arm in study.arms
    )
