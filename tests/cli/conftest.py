"""The command line called in this process, and one small trained run that all its tests share."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from nervure import data, nets, train
from nervure.cli.app import _run
from nervure.study import worker
from nervure.train import Recipe, launch


class Said(NamedTuple):
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run a command in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    # the width of help texts and tables must not hang on the terminal of who runs the tests
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = _run([str(one) for one in arguments])
        assert not logging.getLogger("nervure").handlers
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are made in this process, since starting one takes longer than making it."""

    def start(call: str, arguments: Mapping[str, object], **options: object) -> object:
        return worker.run({"trial": arguments["trial"], "job": arguments["job"]})

    monkeypatch.setattr(launch, "start", start)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency without the compiled engine: compiling takes longer than all else together."""
    deploy = importlib.import_module("nervure.study.deploy")
    measure = deploy.latency_table

    def without(*arguments: object, engines: tuple[str, ...], **options: object) -> object:
        assert engines == ("eager", "compiled", "onnxruntime")
        return measure(*arguments, engines=("eager", "onnxruntime"), **options)

    monkeypatch.setattr(deploy, "latency_table", without)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits."""
    out = tmp_path_factory.mktemp("runs") / "base"
    ds = data.load("digits")
    net = nets.build("mlp", ds, widths=[32])
    train.fit(net, ds, Recipe(epochs=3, batch=32, lr=3e-3), out=out, device="cpu")
    return out


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 8, 8) of 0 to 16, and labels."""
    from sklearn.datasets import load_digits

    held = load_digits()
    return held.images, held.target


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]) -> Path:
    """Folders ``0`` to ``9`` with three pictures each, 0 to 255."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    images, labels = digits
    for label in range(10):
        (folder / str(label)).mkdir()
        for number in np.flatnonzero(labels == label)[:3]:
            Image.fromarray(np.uint8(images[number] * 255 / 16)).save(folder / str(label) / f"{number}.png")
    return folder
