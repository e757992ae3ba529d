"""What is started, and what is made of how it ends; the starting itself is seen in test_worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from nervure import data
from nervure.errors import DivergedError, InputError, InterruptedWork, NervureError
from nervure.train import Recipe, launch


class TestLauncher:
    def test_one_process_needs_none(self) -> None:
        assert launch._launcher(1, 1) == []

    def test_one_machine(self) -> None:
        words = launch._launcher(3, 1)
        assert words[:3] == ["-m", "torch.distributed.run", "--standalone"]
        assert words[-2:] == ["--nproc-per-node", "3"]

    def test_several_machines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MASTER_ADDR", "first")
        monkeypatch.delenv("MASTER_PORT", raising=False)
        words = " ".join(launch._launcher(2, 4))
        assert "--rdzv-endpoint first:29500" in words
        assert "--nnodes 4 --nproc-per-node 2" in words


class TestErrors:
    def test_what_the_worker_left_beside_the_job(self, tmp_path: Path) -> None:
        for kind in (InputError, DivergedError, InterruptedWork):
            left = {"kind": f"{kind.__module__}:{kind.__qualname__}", "message": "what, where, what to do"}
            (tmp_path / "job.json.error").write_text(json.dumps(left))
            error = launch._error(tmp_path / "job.json", 1, "a traceback\nof many lines")
            assert type(error) is kind
            assert str(error) == "what, where, what to do"
            assert error.exit_code == kind.exit_code

    @pytest.mark.parametrize("code", [-2, 130])
    def test_an_interrupt_before_there_was_a_checkpoint(self, tmp_path: Path, code: int) -> None:
        assert isinstance(launch._error(tmp_path / "job.json", code, ""), InterruptedWork)

    def test_a_process_that_just_died(self, tmp_path: Path) -> None:
        error = launch._error(tmp_path / "job.json", -9, "first\nout of memory\n")
        assert type(error) is NervureError
        assert str(error) == "a process failed with exit code -9: out of memory"
        assert "it said nothing" in str(launch._error(tmp_path / "job.json", -9, ""))


def test_lines_that_are_no_message_are_passed_over() -> None:
    lines = ["hello\n", "3\n", "null\n", "[1, 2]\n", '"result"\n', '{"progress": 1}\n', '{"result": 2}\n']
    worker = SimpleNamespace(stdout=lines, wait=lambda: 0)
    told: list[Mapping[str, object]] = []
    assert launch._listen(worker, told.append) == 2  # type: ignore[arg-type]
    assert told == [{"progress": 1}]


def test_a_network_that_other_processes_could_not_build(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Origin, so other processes cannot build it"):
        launch.train(nn.Linear(2, 2), data.load("digits"), Recipe(), out=tmp_path / "r", devices=2)
    assert list(tmp_path.iterdir()) == []
