from __future__ import annotations

from pathlib import Path

import pytest

from nervure.errors import InputError, NervureError
from nervure.study import worker
from nervure.study.trials import Job, Measured, trials


def test_measures_durations_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Job] = []

    def make(job: Job) -> Measured:
        seen.append(job)
        return Measured({"accuracy": 0.25}, {"thinking": 0.12345})

    monkeypatch.setattr(trials, "get", lambda name: make)
    job = {
        "source": "digits",
        "options": {},
        "settings": {"a": 1},
        "seed": 3,
        "data_dir": None,
        "device": "cpu",
    }
    found = worker.run({"trial": "mine", "job": job})
    assert seen == [Job("digits", {}, {"a": 1}, 3, None, "cpu")]
    assert found["metrics"] == {"accuracy": 0.25}
    assert found["durations"]["thinking"] == 0.123  # type: ignore[index]
    assert found["durations"]["total"] >= 0  # type: ignore[index]
    assert found["environment"]["device"] == "cpu"  # type: ignore[index]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measure_that_is_no_number_is_a_failure(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(trials, "get", lambda name: lambda job: Measured({"loss": value}))
    with pytest.raises(NervureError, match=f"the measure loss is {value}"):
        worker.run({"trial": "mine", "job": {"source": "digits"}})


def test_an_unknown_trial_is_named() -> None:
    with pytest.raises(InputError, match="unknown trial 'trian'; did you mean 'train'"):
        worker.run({"trial": "trian", "job": {"source": "digits"}})


def test_an_outside_package_adds_trials(outside: Path) -> None:
    from nervure.registry import Table

    fresh: Table[object] = Table("trial", {}, group="nervure.trials")
    assert {"quick", "hang", "wrong"} <= set(fresh.names())
    assert fresh.get("quick")(Job("digits", settings={"base": 0.5}, seed=1)).metrics == {"accuracy": 0.51}  # type: ignore[operator]
