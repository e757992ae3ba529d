from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nervure.errors import InputError, InterruptedWork, NervureError
from nervure.study.journal import Claims
from nervure.study.run import Progress, run
from nervure.study.table import Study, parse
from nervure.train import launch

Answer = Callable[[str, int], float]


@pytest.fixture
def study(table: str) -> Study:
    return parse(table, "mine", "mine.toml")


class Fake:
    """Stands for the processes: gives an answer at once, keeps what was asked and how many ran at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, int]] = []
        self.threads: set[object] = set()
        self.together = self.most = 0
        self.wait = 0.0
        self.answer: Callable[[float, int], float] = lambda base, seed: base + 0.01 * seed
        self._lock = threading.Lock()

    def start(self, call: str, arguments: Mapping[str, object], *, threads: int, tell: object) -> object:
        assert call == "nervure.study.worker:run"
        job = arguments["job"]
        assert isinstance(job, dict)
        base, seed = job["settings"]["base"], job["seed"]
        with self._lock:
            self.asked.append((base, seed))
            self.threads.add(threads)
            self.together += 1
            self.most = max(self.most, self.together)
        time.sleep(self.wait)
        with self._lock:
            self.together -= 1
        value = self.answer(base, seed)
        return {"metrics": {"accuracy": value}, "durations": {"total": 1.0}, "environment": {"cpu": "a"}}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    one = Fake()
    monkeypatch.setattr(launch, "start", one.start)
    return one


def test_what_is_there_is_not_made_again(study: Study, fake: Fake, tmp_path: Path) -> None:
    first = run(study, "smoke", tmp_path, seeds=1)
    assert [row.ours for row in first.rows()] == [50.0, 75.0]
    again = run(study, "smoke", tmp_path)
    assert fake.asked == [(0.5, 0), (0.75, 0), (0.5, 1), (0.75, 1)]
    assert [row.n for row in again.rows()] == [2, 2]
    run(study, "smoke", tmp_path)
    assert len(fake.asked) == 4


def test_arms_may_be_made_by_themselves_and_are_gathered_with_the_others(
    study: Study, fake: Fake, tmp_path: Path
) -> None:
    first, second = study.arms
    run(study, "smoke", tmp_path, arms=[second])
    assert fake.asked == [(0.75, 0), (0.75, 1)]
    both = run(study, "smoke", tmp_path, arms=[first])
    assert [row.n for row in both.rows()] == [2, 2]
    assert both.missing == 0


def test_profiles_share_a_folder_and_no_figure(study: Study, fake: Fake, tmp_path: Path) -> None:
    smoke = run(study, "smoke", tmp_path)
    fake.answer = lambda base, seed: 0.9
    cpu = run(study, "cpu", tmp_path)
    assert [row.ours for row in smoke.rows()] == pytest.approx([50.5, 75.5])
    assert [row.ours for row in cpu.rows()] == pytest.approx([90.0, 90.0])
    kept = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert sorted(kept) == ["mine.cpu.json", "mine.smoke.json"]
    assert [len(kept[name]["trials"]) for name in sorted(kept)] == [6, 4]
    assert [row["n"] for row in kept["mine.smoke.json"]["table"]] == [2, 2]
    assert len(list((tmp_path / "trials").iterdir())) == 10


def test_a_failure_is_recorded_and_the_others_go_on(study: Study, fake: Fake, tmp_path: Path) -> None:
    def answer(base: float, seed: int) -> float:
        if seed == 0:
            raise NervureError("no\n  luck")
        return base

    fake.answer = answer
    found = run(study, "smoke", tmp_path)
    assert [record.error for record in found.failed] == ["no luck", "no luck"]
    assert (found.missing, [row.n for row in found.rows()]) == (0, [1, 1])
    fake.answer = lambda base, seed: base
    assert run(study, "smoke", tmp_path).failed == ()
    assert len(fake.asked) == 6


def test_trials_on_another_file_of_the_same_name_are_refused(table: str, fake: Fake, tmp_path: Path) -> None:
    study, out = parse(table.replace('"digits"', '"mine"'), "mine", "mine.toml"), tmp_path / "out"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.npz").write_text(name)
    assert run(study, "smoke", out, seeds=1, data_dir=tmp_path / "a").missing == 0
    for minutes in (None, 0):
        with pytest.raises(InputError, match=r"out: .* on other data than .*b/mine\.npz.*--data-dir"):
            run(study, "smoke", out, data_dir=tmp_path / "b", minutes=minutes)
    assert len(fake.asked) == 2
    assert run(study, "smoke", out, minutes=0).missing == 2  # where the data is nobody said
    (tmp_path / "c").mkdir()
    (tmp_path / "a" / "mine.npz").rename(tmp_path / "c" / "mine.npz")
    assert run(study, "smoke", out, data_dir=tmp_path / "c").missing == 0
    assert len(fake.asked) == 4


def test_records_without_a_digest_are_gathered_with_new_ones(table: str, fake: Fake, tmp_path: Path) -> None:
    study = parse(table.replace('"digits"', '"mine"'), "mine", "mine.toml")
    (tmp_path / "mine.npz").write_text("a")
    run(study, "smoke", tmp_path / "out", seeds=1, data_dir=tmp_path)
    for path in (tmp_path / "out" / "trials").iterdir():
        held = json.loads(path.read_text())
        assert len(held.pop("data_digest")) == 16
        path.write_text(json.dumps(held))
    (tmp_path / "mine.npz").write_text("b")
    assert run(study, "smoke", tmp_path / "out", data_dir=tmp_path).missing == 0


def test_what_other_machines_made_on_other_data_is_not_put_into_one_table(
    study: Study, fake: Fake, tmp_path: Path
) -> None:
    run(study, "smoke", tmp_path)
    one, two, *_ = sorted((tmp_path / "trials").iterdir())
    for path, digest in ((one, "a"), (two, "b")):
        path.write_text(json.dumps({**json.loads(path.read_text()), "data_digest": digest}))
    with pytest.raises(InputError, match="of two or more data sets"):
        run(study, "smoke", tmp_path, minutes=0)


def test_jobs_run_side_by_side_with_threads_set(study: Study, fake: Fake, tmp_path: Path) -> None:
    fake.wait = 0.2
    run(study, "cpu", tmp_path, jobs=3, threads=2)
    assert fake.most == 3
    assert fake.threads == {2}
    assert len(fake.asked) == 6


def test_minutes_stop_between_trials(study: Study, fake: Fake, tmp_path: Path) -> None:
    fake.wait = 0.3
    found = run(study, "cpu", tmp_path, minutes=0.7 / 60)
    assert 1 <= len(fake.asked) <= 2  # a third would end after the limit
    assert found.missing == 6 - len(fake.asked)
    assert run(study, "cpu", tmp_path, minutes=0).missing == found.missing
    before = len(fake.asked)
    run(study, "cpu", tmp_path, minutes=0.001 / 60)
    assert len(fake.asked) == before + 1  # the first is always tried


def test_progress_tells_of_each_trial(study: Study, fake: Fake, tmp_path: Path) -> None:
    told: list[Progress] = []
    run(study, "smoke", tmp_path, seeds=1)
    run(study, "smoke", tmp_path, progress=told.append)
    assert [(one.made, one.total) for one in told] == [(3, 4), (4, 4)]
    assert told[0].left >= 0
    assert told[-1].left == 0


def test_stop_keeps_what_is_done(study: Study, fake: Fake, tmp_path: Path) -> None:
    def answer(base: float, seed: int) -> float:
        if seed == 1:
            time.sleep(0.3)
            raise InterruptedWork("stopped")
        return base

    fake.answer = answer
    with pytest.raises(InterruptedWork, match=r"2 of 4 trials are kept in .*give the same command"):
        run(study, "smoke", tmp_path, stop=lambda: len(fake.asked) == 3)
    assert len(list((tmp_path / "trials").iterdir())) == 2
    assert json.loads((tmp_path / "mine.smoke.json").read_text())["missing"] == 2


def test_trials_claimed_elsewhere_are_left_alone(study: Study, fake: Fake, tmp_path: Path) -> None:
    from nervure.study.grid import grid

    journal = tmp_path / "journal"
    other = Claims(journal, "mine.smoke")
    assert other.take(grid(study, "smoke")[0].key)
    found = run(study, "smoke", tmp_path, journal=journal)
    assert fake.asked == [(0.75, 0), (0.5, 1), (0.75, 1)]
    assert found.missing == 1
    other.give_back(grid(study, "smoke")[0].key)
    assert run(study, "smoke", tmp_path, journal=journal).missing == 0


def test_a_folder_that_cannot_be_written_ends_the_study(study: Study, fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="a file stands where a folder is needed"):
        run(study, "smoke", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 0}, "seeds = 0"),
        ({"jobs": 0}, "jobs = 0"),
        ({"threads": 0}, "threads = 0"),
        ({"minutes": -1.0}, "minutes = -1.0"),
        ({"minutes": float("nan")}, "minutes = nan"),
        ({"device": "cuda:9"}, "cuda"),
        ({"arms": ["bass"]}, "no arm 'bass'; .*plain"),
    ],
)
def test_bad_options_are_named(study: Study, fake: Fake, tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(study, "smoke", tmp_path, **options)  # type: ignore[arg-type]
    assert fake.asked == []
