"""Claims on trials in a file that several machines share, so that none is made twice.

The file is an optuna journal on a file system that all machines see. A claim is one entry of it, and
entries have an order that everybody reads alike: of several claims on a trial, the first one holds.
"""

from __future__ import annotations

import importlib.util
import uuid
from pathlib import Path
from typing import Any

from nervure.errors import MissingExtra
from nervure.store.atomic import clear_errors

__all__ = ["Claims"]


class Claims:
    """This process's view of who makes which trial of a study.

    A trial that failed elsewhere before this process came may be claimed again; one given back, at any time.

    Parameters
    ----------
    path : path
        The journal; it is made if it is not there.
    name : str
        Of the study and profile: one journal holds several.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     one, other = Claims(Path(folder) / "j", "s"), Claims(Path(folder) / "j", "s")
    ...     one.take("a"), other.take("a"), other.take("b")
    (True, False, True)
    """

    def __init__(self, path: Path, name: str) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise MissingExtra("optuna", "sweep", "sharing a study between machines")
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._states = optuna.trial.TrialState
        self._template = optuna.trial.create_trial
        with clear_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
            self._study: Any = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        self._numbers: dict[str, int] = {}
        self._old = {one.number for one in self._claims() if one.state == self._states.FAIL}

    def take(self, key: str) -> bool:
        """Claim a trial; whether the claim holds."""
        if self._holder(key) is not None:
            return False
        mine = uuid.uuid4().hex
        # One entry with key and claimant, so that no other process can read a claim that is half made.
        self._study.add_trial(self._template(state=self._states.RUNNING, user_attrs={"key": key, "claim": mine}))
        number = next(one.number for one in self._claims() if one.user_attrs["claim"] == mine)
        if self._holder(key) != number:
            self._study.tell(number, state=self._states.PRUNED)
            return False
        self._numbers[key] = number
        return True

    def finish(self, key: str, seconds: float) -> None:
        """The trial is done."""
        self._study.tell(self._numbers.pop(key), seconds)

    def fail(self, key: str) -> None:
        """The trial failed; processes that are at work now leave it alone."""
        self._study.tell(self._numbers.pop(key), state=self._states.FAIL)

    def give_back(self, key: str) -> None:
        """The trial was not made; anybody may claim it."""
        self._study.tell(self._numbers.pop(key), state=self._states.PRUNED)

    def _claims(self) -> list[Any]:
        return [one for one in self._study.get_trials(deepcopy=False) if "key" in one.user_attrs]

    def _holder(self, key: str) -> int | None:
        """The number of the first claim that holds, if there is one."""
        open_ = (self._states.RUNNING, self._states.COMPLETE)
        numbers = [
            one.number
            for one in self._claims()
            if one.user_attrs["key"] == key
            and (one.state in open_ or (one.state == self._states.FAIL and one.number not in self._old))
        ]
        return min(numbers, default=None)
