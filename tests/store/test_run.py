from __future__ import annotations

from importlib import metadata

import torch
from torch import nn

from nervure import data, nets
from nervure.store import Action, Run
from nervure.store.run import versions


def test_a_run_knows_its_data() -> None:
    ds = data.load("synthetic-shapes", n=40, size=8)
    run = Run.of(nets.build("mlp", ds, widths=[4]), ds, (Action("train", {"epochs": 1}, 3, "nervure train"),))
    assert (run.in_shape, run.kind, run.task, run.names) == (ds.in_shape, "image", ds.task, ds.names)
    assert (run.source, run.options, run.fingerprint) == ("synthetic-shapes", {"n": 40, "size": 8}, ds.fingerprint)
    assert run.preprocessing == ds.preprocessing
    assert data.load(run.source, **run.options).fingerprint == run.fingerprint
    assert (run.history, run.metrics, run.evidence, run.path) == ([], {}, {}, None)
    assert run.origin == nets.origin_of(run.net)


def test_nothing_is_shared_between_runs() -> None:
    one, two = (Run(nn.Identity(), (4,), "table", "none") for _ in range(2))
    one.metrics["accuracy"] = 1.0
    one.history.append({"epoch": 1})
    assert (two.metrics, two.history) == ({}, [])
    assert one.origin is None


def test_versions_are_those_installed() -> None:
    found = versions()
    assert set(found) == {"python", "nervure", "torch", "numpy"}
    assert found["torch"] == torch.__version__
    assert found["numpy"] == metadata.version("numpy")


def test_versions_without_an_installed_package(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def gone(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", gone)
    assert versions()["nervure"] == "unknown"


def test_actions_are_plain_data() -> None:
    action = Action("prune", {"criterion": "l1"}, 2)
    assert action.to_json() == {"name": "prune", "settings": {"criterion": "l1"}, "seed": 2, "command": ""}
