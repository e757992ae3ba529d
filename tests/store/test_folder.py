"""A run's folder: whole or no run, rebuilt without executing what it names."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nervure import nets, store
from nervure.errors import InputError, RunError
from nervure.evidence import Curve
from nervure.nets import Step, derive
from nervure.nets.resize import difference
from nervure.store import Action, Run, folder, record
from nervure.store.atomic import alone
from nervure.store.folder import _fits, claim, discard


@pytest.fixture
def net() -> nn.Module:
    return nets.build("lenet-300-100", in_shape=(1, 8, 8), classes=10)


@pytest.fixture
def run(net: nn.Module) -> Run:
    return Run(
        net=net,
        in_shape=(1, 8, 8),
        kind="image",
        task="classification",
        names=tuple("0123456789"),
        source="digits",
        history=[{"epoch": 1, "train_loss": 0.5}],
        metrics={"accuracy": 0.5, "broken": float("nan")},
        evidence={"loss": Curve(title="loss", alt="falls", x=np.arange(2), y=np.ones((1, 2)))},
        lineage=(Action("train", {"epochs": 1}, 0),),
    )


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


class TestRoundTrip:
    def test_everything_comes_back(self, run: Run, tmp_path: Path) -> None:
        store.save(tmp_path / "run", run)
        back = store.load(tmp_path / "run")
        assert same(back.net, run.net)
        assert back.history == run.history
        assert back.lineage == run.lineage
        assert back.metrics["accuracy"] == 0.5
        assert np.isnan(back.metrics["broken"])
        assert np.array_equal(back.evidence["loss"].y, run.evidence["loss"].y)
        assert (back.names, back.source, back.task) == (run.names, run.source, run.task)
        assert not back.net.training

    def test_fresh_process(self, run: Run, tmp_path: Path) -> None:
        store.save(tmp_path / "run", run)
        code = (
            "import sys, torch, nervure as nv; r = nv.store.load(sys.argv[1]);"
            "print(r.net(torch.ones(1, 1, 8, 8)).sum().item());"
            "print(sorted(m for m in sys.modules if m.startswith('nervure.') and m.split('.')[1] in"
            " ('train', 'report', 'export', 'cli', 'study')))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=True
        )
        value, modules = done.stdout.splitlines()
        assert float(value) == pytest.approx(run.net.eval()(torch.ones(1, 1, 8, 8)).sum().item(), rel=1e-5)
        assert modules == "[]"

    def test_steps_are_replayed(self, net: nn.Module, tmp_path: Path) -> None:
        import copy

        small = copy.deepcopy(net)
        first, second = [module for module in small.modules() if isinstance(module, nn.Linear)][:2]
        first.weight = nn.Parameter(first.weight[:7].clone())
        first.bias = nn.Parameter(first.bias[:7].clone())
        first.out_features = 7
        second.weight = nn.Parameter(second.weight[:, :7].clone())
        second.in_features = 7
        small = derive(net, small, Step("resize", difference(net, small)))
        store.save(tmp_path / "small", small)
        back = store.load(tmp_path / "small")
        assert same(back.net, small)
        x = torch.rand(3, 1, 8, 8)
        assert torch.equal(back.net(x), small.eval()(x))

    def test_a_strangers_module_needs_build(self, tmp_path: Path) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        run = Run(net=net, in_shape=(1, 2, 2), kind="image", task="classification", names=("a", "b"))
        store.save(tmp_path / "run", run)
        with pytest.raises(InputError, match="give build="):
            store.load(tmp_path / "run")
        back = store.load(tmp_path / "run", build=lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
        assert same(back.net, net)

    def test_a_module_without_origin_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no Origin"):
            store.save(tmp_path / "run", nn.Linear(2, 2))
        assert not (tmp_path / "run").exists()


class TestDamage:
    @pytest.mark.parametrize("name", ["model.safetensors", "history.jsonl", "evidence/loss.npz", "run.json"])
    @pytest.mark.parametrize("harm", ["truncate", "edit", "remove"])
    def test_is_refused(self, run: Run, tmp_path: Path, name: str, harm: str) -> None:
        file = store.save(tmp_path / "run", run) / name
        data = file.read_bytes()
        if harm == "truncate":
            file.write_bytes(data[: len(data) // 2])
        elif harm == "edit":
            middle = len(data) // 2
            file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
        else:
            file.unlink()
        with pytest.raises(RunError) as error:
            store.load(tmp_path / "run")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("side", [9, 30_000])
    def test_a_record_cannot_ask_for_a_network_larger_than_its_weights(
        self, run: Run, tmp_path: Path, side: int
    ) -> None:
        """The larger one would need a terabyte."""
        path = store.save(tmp_path / "run", run)
        data = json.loads((path / "run.json").read_text())
        del data["digest"]
        data["origin"]["base"]["in_shape"] = [1, side, side]
        (path / "run.json").write_text(json.dumps({**data, "digest": record.digest_of(data)}))
        with pytest.raises(RunError, match="the weights do not fit"):
            store.load(path)

    def test_a_record_cannot_name_files_outside(self, run: Run, tmp_path: Path) -> None:
        path = store.save(tmp_path / "run", run)
        data = json.loads((path / "run.json").read_text())
        del data["digest"]
        data["files"]["../secret"] = "0"
        (path / "run.json").write_text(json.dumps({**data, "digest": record.digest_of(data)}))
        with pytest.raises(RunError, match="outside the folder"):
            store.load(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"epoch": 1}\nno JSON\n', "history.jsonl: cannot be read"),
            ("[1]\n", "history.jsonl: holds a line that is no epoch"),
            ("[" * 100_000, "history.jsonl: cannot be read"),
            (None, "its record names no history.jsonl"),
        ],
    )
    def test_a_history_that_is_none(self, run: Run, tmp_path: Path, text: str | None, message: str) -> None:
        path = store.save(tmp_path / "run", run)
        data = json.loads((path / "run.json").read_text())
        del data["digest"]
        if text is None:
            del data["files"]["history.jsonl"]
        else:
            (path / "history.jsonl").write_text(text)
            data["files"]["history.jsonl"] = hashlib.sha256(text.encode()).hexdigest()
        (path / "run.json").write_text(json.dumps({**data, "digest": record.digest_of(data)}))
        with pytest.raises(RunError, match=message):
            store.load(path)

    @pytest.mark.parametrize(
        "preprocessing", [{}, {"scale": "a", "mean": [], "std": []}, {"scale": 1, "mean": 3, "std": []}]
    )
    def test_a_preprocessing_that_is_none(self, run: Run, tmp_path: Path, preprocessing: dict[str, object]) -> None:
        path = store.save(tmp_path / "run", run)
        data = json.loads((path / "run.json").read_text())
        del data["digest"]
        data["data"]["preprocessing"] = preprocessing
        (path / "run.json").write_text(json.dumps({**data, "digest": record.digest_of(data)}))
        with pytest.raises(InputError, match="not a preprocessing"):
            store.load(path)

    def test_a_newer_schema_is_refused_and_an_older_one_lifted(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = store.save(tmp_path / "run", run)
        data = json.loads((path / "run.json").read_text())
        del data["digest"]

        def write(changed: dict[str, object]) -> None:
            (path / "run.json").write_text(json.dumps({**changed, "digest": record.digest_of(changed)}))

        write({**data, "schema_version": record.SCHEMA + 1})
        with pytest.raises(RunError, match="update nervure"):
            store.load(path)
        old = {key: value for key, value in data.items() if key != "metrics"} | {"schema_version": 0}
        write(old)
        with pytest.raises(RunError, match="too old"):
            store.load(path)
        monkeypatch.setitem(
            record.migrations, 0, lambda one: {**one, "metrics": {"accuracy": 0.5}, "schema_version": 1}
        )
        assert store.load(path).metrics == {"accuracy": 0.5}

    def test_a_function_base_runs_only_when_named_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "trap.py").write_text(
            "import torch.nn as nn, pathlib\n"
            "def make(in_shape, classes):\n"
            "    pathlib.Path(__file__).with_name('ran').touch()\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(4, classes))\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        net = nets.build("trap:make", in_shape=(1, 2, 2), classes=2)
        store.save(tmp_path / "run", net)
        (tmp_path / "ran").unlink()
        with pytest.raises(InputError, match="trap:make"):
            store.load(tmp_path / "run")
        assert not (tmp_path / "ran").exists()
        assert same(store.load(tmp_path / "run", build="trap:make").net, net)


class TestClaim:
    def test_an_existing_run_is_refused(self, run: Run, tmp_path: Path) -> None:
        store.save(tmp_path / "run", run)
        with pytest.raises(InputError, match="--overwrite"):
            store.save(tmp_path / "run", run)
        store.save(tmp_path / "run", run, overwrite=True)

    def test_nothing_of_the_replaced_run_stays(self, run: Run, tmp_path: Path) -> None:
        path = store.save(tmp_path / "run", run)
        (path / "plan.json").write_text("{}")
        (path / "exports").mkdir()
        store.save(path, run, overwrite=True)
        assert not (path / "plan.json").exists() and not (path / "exports").exists()
        assert same(store.load(path).net, run.net)

    def test_what_a_killed_process_left_half_written_is_ours(self, run: Run, tmp_path: Path) -> None:
        left = store.save(tmp_path / "run", run) / ".run.json.x1_z.partial"
        left.write_text("{")
        store.save(tmp_path / "run", run, overwrite=True)
        assert not left.exists()
        (tmp_path / "run" / ".thesis.doc.x1.partial").write_text("years of work")
        with pytest.raises(InputError, match=r"'thesis\.doc', which is no part"):
            store.save(tmp_path / "run", run, overwrite=True)

    def test_a_folder_of_other_things_is_never_touched(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.doc").write_text("years of work")
        with pytest.raises(InputError, match=r"thesis\.doc"):
            store.save(tmp_path / "run", run, overwrite=True)

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="its name is no UTF-8"):
            claim(tmp_path / "caf\udce9")

    def test_a_file_of_that_name(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("")
        with pytest.raises(InputError, match="a file of that name"):
            store.save(tmp_path / "run", run)
        with pytest.raises(InputError, match="is a file"):
            store.save(tmp_path / "run" / "deeper", run)

    def test_a_read_only_folder(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere, so the system is asked in vain
        with pytest.raises(InputError, match="permission"):
            store.save(tmp_path / "run", run)

    def test_a_read_only_file_system(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import errno

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr("pathlib.Path.touch", refuse)
        with pytest.raises(InputError, match="read-only"):
            store.save(tmp_path / "run", run)
        assert list(tmp_path.iterdir()) == []

    def test_no_room_leaves_nothing(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import errno

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("nervure.store.atomic.os.replace", full)
        with pytest.raises(InputError, match="no room left"):
            store.save(tmp_path / "run", run)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("at", range(4))
    def test_no_room_keeps_the_old_run(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
    ) -> None:
        import errno

        path = store.save(tmp_path / "run", run)
        real, calls = os.replace, []

        def full(*args: Any) -> None:
            calls.append(args)
            if len(calls) > at:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(*args)

        other = dataclasses.replace(run, metrics={"accuracy": 0.9})
        monkeypatch.setattr("nervure.store.atomic.os.replace", full)
        with pytest.raises(InputError, match="no room left"):
            store.save(path, other, overwrite=True)
        assert same(store.load(path).net, run.net) and store.load(path).metrics["accuracy"] == 0.5

    def test_a_discarded_run_is_none(self, run: Run, tmp_path: Path) -> None:
        path = store.save(tmp_path / "run", run)
        discard(path)
        assert not store.is_run(path)
        assert claim(path) == path

    def test_one_that_another_process_wrote_meanwhile_stays(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = folder.alone

        @contextlib.contextmanager
        def late(path: Path, **how: float) -> Iterator[None]:
            monkeypatch.setattr(folder, "alone", real)
            store.save(path, run)
            with real(path, **how):
                yield

        monkeypatch.setattr(folder, "alone", late)
        with pytest.raises(InputError, match="holds a run"):
            store.save(tmp_path / "run", dataclasses.replace(run, metrics={}))
        assert store.load(tmp_path / "run").metrics["accuracy"] == 0.5

    def test_a_network_of_float64_comes_back_exactly(self, tmp_path: Path) -> None:
        net = nets.build("mlp", in_shape=(4,), classes=2, widths=[3]).double()
        with torch.no_grad():
            for one in net.parameters():
                one.add_(1e-9)
        assert same(store.load(store.save(tmp_path / "run", net)).net, net)

    def test_what_cannot_be_written_replaces_nothing(self, run: Run, tmp_path: Path) -> None:
        store.save(tmp_path / "run", run)
        worse = store.load(tmp_path / "run")
        worse.evidence["bad name!"] = worse.evidence["loss"]
        with pytest.raises(InputError, match="a figure's name"):
            store.save(tmp_path / "run", worse, overwrite=True)
        assert same(store.load(tmp_path / "run").net, run.net)
        assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
            "evidence", "history.jsonl", "model.safetensors", "run.json",
        ]  # fmt: skip

    @pytest.mark.parametrize("at", range(1, 10))
    def test_an_exchange_that_is_cut_short_is_taken_back(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
    ) -> None:
        path = store.save(tmp_path / "run", run)
        (path / "exports").mkdir()
        (path / "exports" / "model.onnx").touch()
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        other = dataclasses.replace(run, metrics={"accuracy": 0.9}, evidence={})
        moved, rename = [], Path.rename

        def stops(here: Path, there: Path) -> Path:
            moved.append(here)
            if len(moved) == at:
                raise KeyboardInterrupt
            return rename(here, there)

        monkeypatch.setattr(Path, "rename", stops)
        if at < 9:  # five files of the old run and three of the new one are moved
            with pytest.raises(KeyboardInterrupt):
                store.save(path, other, overwrite=True)
            assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
            assert not list(path.glob(".*"))
        else:
            store.save(path, other, overwrite=True)
            assert store.load(path).metrics == {"accuracy": 0.9}

    def test_a_linked_checkpoint_is_let_go_and_what_it_points_at_stays(self, run: Run, tmp_path: Path) -> None:
        store.save(tmp_path / "run", run)
        (tmp_path / "scratch").mkdir()
        (tmp_path / "scratch" / "kept").touch()
        (tmp_path / "run" / "checkpoint").symlink_to(tmp_path / "scratch")
        store.save(tmp_path / "run", run, overwrite=True)
        assert not (tmp_path / "run" / "checkpoint").exists()
        assert (tmp_path / "scratch" / "kept").exists()

    @pytest.mark.parametrize("name", [".DS_Store", "._run.json", "Thumbs.db", ".nfs0001"])
    def test_files_of_the_system_are_no_hindrance(self, run: Run, tmp_path: Path, name: str) -> None:
        store.save(tmp_path / "run", run)
        (tmp_path / "run" / name).touch()
        store.save(tmp_path / "run", run, overwrite=True)
        assert store.load(tmp_path / "run").metrics["accuracy"] == 0.5

    def test_figure_names_cannot_escape(self, run: Run, tmp_path: Path) -> None:
        run.evidence["../x"] = run.evidence["loss"]
        with pytest.raises(InputError, match="letters, digits"):
            store.save(tmp_path / "run", run)


class TestAnnotate:
    def test_what_is_no_number_is_kept_as_such(self, run: Run, tmp_path: Path) -> None:
        store.save(tmp_path / "run", run)
        store.annotate(tmp_path / "run", dict(run.evidence), {"latency": float("nan")})
        assert np.isnan(store.load(tmp_path / "run").metrics["latency"])

    def test_cut_short_it_leaves_a_whole_run(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store.save(tmp_path / "run", run)
        write, written = store.folder.write_json, []

        def dies(*args: object) -> None:
            written.append(args)
            if len(written) > 1:
                raise KeyboardInterrupt
            write(*args)

        monkeypatch.setattr("nervure.store.folder.write_json", dies)
        other = Curve(title="loss", alt="rises", x=np.arange(2), y=np.arange(2.0)[None])
        with pytest.raises(KeyboardInterrupt):
            store.annotate(tmp_path / "run", {"loss": other})
        monkeypatch.undo()
        assert store.load(tmp_path / "run").evidence == {}
        store.annotate(tmp_path / "run", {"loss": other})
        assert store.load(tmp_path / "run").evidence["loss"].alt == "rises"

    def test_one_process_at_a_time(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = store.save(tmp_path / "run", run)
        monkeypatch.setattr("nervure.store.folder._WAIT", 0.1)
        with alone(path):
            with pytest.raises(InputError, match="another process is writing"):
                store.annotate(path, {}, {"latency": 1.0})
            with pytest.raises(InputError, match="another process is writing"):
                store.save(path, run, overwrite=True)
        store.annotate(path, {}, {"latency": 1.0})
        assert store.load(path).metrics["latency"] == 1.0

    def test_another_process_is_waited_for(self, run: Run, tmp_path: Path) -> None:
        path = store.save(tmp_path / "run", run)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: store.annotate(path, {}, {f"measure {number}": 1.0}), range(8)))
        assert {f"measure {number}" for number in range(8)} < set(store.load(path).metrics)


def test_names_that_are_no_text_come_back(run: Run, tmp_path: Path) -> None:
    run.source = "caf\udce9"
    run.evidence["loss"] = dataclasses.replace(run.evidence["loss"], title="caf\udce9")
    store.save(tmp_path / "run", run)
    back = store.load(tmp_path / "run")
    assert (back.source, back.evidence["loss"].title) == ("caf\udce9", "caf\udce9")


def test_a_network_in_half_precision_comes_back_in_it(tmp_path: Path) -> None:
    net = nets.build("lenet-300-100", in_shape=(1, 8, 8), classes=10).to(torch.bfloat16)
    back = store.load(store.save(tmp_path / "run", net)).net
    assert {one.dtype for one in back.parameters()} == {torch.bfloat16}
    assert same(back, net)


def test_weights_of_another_network_are_told_shortly() -> None:
    deep = nn.Sequential(*(nn.Linear(2, 2) for _ in range(50)))
    with pytest.raises(RunError, match="the weights do not fit the network: ") as told, _fits(Path("run")):
        nn.Linear(2, 2).load_state_dict(deep.state_dict())
    assert len(str(told.value)) < 400
