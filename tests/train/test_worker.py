"""Two processes train the network that one trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from nervure import data, nets, store, train
from nervure.errors import InputError, NervureError
from nervure.nets.origin import origin_of
from nervure.store.tree import save_tree
from nervure.train import Recipe, launch, worker
from nervure.train.worker import main
from ranks import Pair

# each test starts processes that import torch, and one of them a group of two
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]


def farthest(a: nn.Module, b: nn.Module) -> float:
    left, right = a.state_dict(), b.state_dict()
    return max(float((left[name].double() - right[name].double()).abs().max()) for name in left)


class TestTwoProcesses:
    def test_without_batch_norm_to_1e_5(self, tmp_path: Path) -> None:
        """20 steps of SGD, and a last batch whose samples cannot be shared out evenly."""
        ds = data.load("digits")
        recipe = Recipe(epochs=2, batch=127, optimizer="sgd", lr=0.01, keep="last")
        net = nets.build("lenet5", ds)
        one = train.fit(net, ds, recipe, device="cpu")
        assert len(one.history) * -(-len(ds.splits["train"]) // 127) == 20
        seen: list[train.Progress] = []
        two = launch.train(
            net, ds, recipe, out=tmp_path / "two", devices=2, threads=1, device="cpu", progress=seen.append
        )
        assert farthest(one.net, two.net) < 1e-5
        for mine, theirs in zip(one.history, two.history, strict=True):
            for name in ("train_loss", "validation_loss", "train_accuracy"):
                assert mine[name] == pytest.approx(theirs[name], abs=1e-5)
        assert two.metrics["accuracy"] == pytest.approx(one.metrics["accuracy"], abs=3e-3)
        assert [where.row["epoch"] for where in seen if where.row is not None] == [1, 2]

    @pytest.mark.usefixtures("together")
    def test_with_batch_norm_to_1e_4(self, tmp_path: Path) -> None:
        """24 steps; tanh, because behind ReLU and max pooling rounding alone grows to 1e-3 in one process too."""
        ds = data.load("synthetic-shapes", n=300, size=16)
        # 41 samples a batch over 210: the last batch has five, of which one rank sees three and the other two
        recipe = Recipe(epochs=4, batch=41, optimizer="sgd", lr=0.005, keep="last")
        net = nets.build("lenet5", ds, batch_norm=True, activation="tanh")
        one = train.fit(net, ds, recipe, device="cpu")
        two = launch.train(net, ds, recipe, out=tmp_path / "two", devices=2, threads=1, device="cpu")
        assert farthest(net, one.net) > 1e-2
        assert farthest(one.net, two.net) < 1e-4
        assert {type(module) for module in two.net.modules()} >= {nn.BatchNorm2d, nn.BatchNorm1d}

    @pytest.mark.usefixtures("together")
    def test_a_batch_with_fewer_samples_than_processes(self, tmp_path: Path) -> None:
        ds = data.load("synthetic-shapes", n=120, size=12)
        size = len(ds.splits["train"]) - 1  # so that the last batch is one sample, and one rank has none
        recipe = Recipe(epochs=2, batch=size, optimizer="sgd", lr=0.01, keep="last")
        net = nets.build("lenet5", ds)
        one = train.fit(net, ds, recipe, device="cpu")
        two = launch.train(net, ds, recipe, out=tmp_path / "two", devices=2, threads=1, device="cpu")
        assert farthest(one.net, two.net) < 1e-5

    def test_data_that_other_processes_cannot_load_is_refused(self, tmp_path: Path) -> None:
        """What each process does first, in this one: load the data, and see whether it is what was given."""
        ds = data.load("digits")
        net = nets.build("lenet5", ds)
        origin = origin_of(net)
        assert origin is not None
        save_tree(tmp_path / "net", {"origin": origin.to_json(), "model": net.state_dict()})
        part = ds.subset(range(300))
        arguments = {
            "net": str(tmp_path / "net"), "build": None, "source": part.source, "options": dict(part.options),
            "fingerprint": part.fingerprint,
        }  # fmt: skip
        with pytest.raises(InputError, match="other processes load other data"):
            worker.train(arguments)

    def test_bad_input_in_a_process_reaches_the_parent_as_one_line(self, tmp_path: Path) -> None:
        ds = data.load("digits")
        net = nets.build("lenet5", ds)
        recipe = Recipe(epochs=1, objective="mse", objective_options={"delta": 1})
        with pytest.raises(InputError, match="objective 'mse'"):
            launch.train(net, ds, recipe, out=tmp_path / "r", devices=2, threads=1, device="cpu")
        assert not (tmp_path / "r" / "run.json").exists()


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work that tells its process and sleeps, or does not heed that it is asked to end, and tells again."""
    code = """
        import os, signal, time
        from nervure.train.worker import say

        def sleep(arguments):
            say({"process": os.getpid(), "launcher": os.getppid()})
            time.sleep(60)

        def deaf(arguments):
            signal.signal(signal.SIGINT, lambda number, frame: say({"process": os.getpid()}))
            say({"process": os.getpid()})
            until = time.monotonic() + 60
            while time.monotonic() < until:
                time.sleep(1)
    """
    (tmp_path / "sleeper.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def gone(process: int) -> bool:
    """Whether a process ends within ten seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


class TestStart:
    def test_the_result_of_a_call(self) -> None:
        assert launch.start("builtins:sorted", {"b": 1, "a": 2}) == ["a", "b"]

    def test_what_a_job_prints_is_no_message(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither from Python nor from a program that it starts."""
        code = """
            import os

            def talk(arguments):
                for line in ("3", "null", "[1]", '{"result": 0}', '{"progress": 1}'):
                    print(line, flush=True)
                    os.system(f"echo '{line}'")
                return "its own"
        """
        (tmp_path / "talker.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(tmp_path)
        told: list[Mapping[str, object]] = []
        assert launch.start("talker:talk", {}, tell=told.append) == "its own"
        assert told == []

    def test_a_failure_is_told(self) -> None:
        with pytest.raises(Exception, match="TypeError") as error:
            launch.start("math:sqrt", {})
        assert "\n" not in str(error.value)

    def test_several_machines_need_an_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MASTER_ADDR", raising=False)
        with pytest.raises(InputError, match="MASTER_ADDR"):
            launch.start("math:sqrt", {}, nodes=2)

    def test_a_worker_that_is_not_listened_to_any_more_ends(self, sleeper: Path) -> None:
        told: list[int] = []

        def tell(event: Mapping[str, object]) -> None:
            told.append(int(str(event["process"])))
            raise RuntimeError("the caller's own progress failed")

        with pytest.raises(RuntimeError, match="own progress"):
            launch.start("sleeper:sleep", {}, tell=tell)
        assert gone(told[0])

    def test_a_worker_that_does_not_listen_is_killed(self, sleeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launch, "PATIENCE", 0.2)
        told: list[int] = []

        def tell(event: Mapping[str, object]) -> None:
            told.append(int(str(event["process"])))
            raise KeyboardInterrupt if len(told) == 1 else RuntimeError("again")

        with pytest.raises(RuntimeError, match="again"):
            launch.start("sleeper:deaf", {}, tell=tell)
        assert gone(told[0])

    def test_a_worker_ends_with_its_parent(self, sleeper: Path) -> None:
        code = """
            from nervure.train import launch
            launch.start("sleeper:sleep", {}, tell=lambda event: print(event["process"], flush=True))
        """
        environment = {**os.environ, "PYTHONPATH": str(sleeper)}
        parent = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        parent.communicate()
        assert gone(worker)

    def test_workers_end_with_their_launcher(self, sleeper: Path) -> None:
        """They are in process groups of their own, which a signal to the launcher's does not reach."""
        told: list[int] = []
        killed: list[float] = []

        def tell(event: Mapping[str, object]) -> None:
            told.append(int(str(event["process"])))
            os.kill(int(str(event["launcher"])), signal.SIGKILL)
            killed.append(time.monotonic())

        with pytest.raises(NervureError, match="exit code -9"):
            launch.start("sleeper:sleep", {}, processes=2, tell=tell)
        assert gone(told[0])
        assert time.monotonic() - killed[0] < 30  # half of what their work would take

    def test_the_worker_leaves_errors_beside_the_job(self, tmp_path: Path) -> None:
        job = tmp_path / "job.json"
        job.write_text(
            json.dumps(
                {
                    "call": "nervure.nets:get",
                    "arguments": "lenet55",
                    "threads": 1,
                    "sys_path": [],
                    "parent": os.getpid(),
                }
            )
        )
        assert main(str(job)) == 2
        assert "did you mean 'lenet5'" in json.loads((tmp_path / "job.json.error").read_text())["message"]


def test_what_a_process_said_is_not_overwritten_by_one_that_waited_for_it(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"call": "math:sqrt", "arguments": {}, "threads": 1, "sys_path": [],
                               "parent": os.getpid()}))  # fmt: skip
    left = tmp_path / "job.json.error"
    left.write_text('{"kind": "nervure.errors:DivergedError", "message": "training diverged"}')
    assert main(str(job)) == 1
    assert json.loads(left.read_text())["message"] == "training diverged"
    left.unlink()
    assert main(str(job)) == 1
    assert "TypeError" in json.loads(left.read_text())["message"]


def test_interrupting_two_processes_keeps_a_checkpoint_and_resumes_to_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    command = [
        sys.executable, "-m", "nervure", "train", "digits", "--net", "lenet5", "--epochs", "12", "--devices", "2",
        "--threads", "1", "--device", "cpu", "-o", str(tmp_path / "cut"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 60
    while not (tmp_path / "cut" / "checkpoint" / "state.safetensors").is_file() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors.splitlines()[-1]
    monkeypatch.setattr(launch, "start", pair.start)
    given = (nets.build("lenet5", data.load("digits")), data.load("digits"), Recipe(epochs=12))
    together = {"devices": 2, "threads": 1, "device": "cpu"}
    launch.train(*given, out=tmp_path / "cut", resume=True, **together)
    whole = launch.train(*given, out=tmp_path / "whole", **together)
    cut = store.load(tmp_path / "cut")
    assert farthest(whole.net, cut.net) == 0.0
    for one, other in zip(whole.history, cut.history, strict=True):
        assert {**one, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-12)
    assert torch.isfinite(torch.tensor(whole.metrics["accuracy"]))


def test_interrupting_two_processes_with_slow_steps_keeps_a_checkpoint(tmp_path: Path) -> None:
    """Steps of a second, of which torch's launcher would not wait for many: it is told to end after ten seconds."""
    code = """
        import pathlib, time
        from torch import nn

        class Slow(nn.Module):
            def __init__(self, classes):
                super().__init__()
                self.out = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

            def forward(self, x):
                if self.training:
                    time.sleep(1)
                    pathlib.Path("trains").touch()
                return self.out(x)

        def make(shape, classes):
            return Slow(classes)
    """
    (tmp_path / "slow.py").write_text(textwrap.dedent(code))
    command = [
        sys.executable, "-m", "nervure", "train", "digits", "--net", "slow:make", "--epochs", "9", "--devices", "2",
        "--threads", "1", "--device", "cpu", "-o", "cut",
    ]  # fmt: skip
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path), "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "10",
    }  # fmt: skip
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path
    )
    until = time.monotonic() + 90
    while not (tmp_path / "trains").is_file() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors.splitlines()[-1]
    assert (tmp_path / "cut" / "checkpoint" / "state.safetensors").is_file()
