"""Bad input of every kind: one clear line, exit code 2, and the folder as it was."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from nervure import data, nets, store, train
from nervure.cli.app import _run
from nervure.store import Run
from nervure.store.record import digest_of
from nervure.train import Recipe

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on the digits."""
    out = tmp_path_factory.mktemp("runs") / "base"
    ds = data.load("digits")
    train.fit(nets.build("mlp", ds, widths=[8]), ds, Recipe(epochs=1), out=out, device="cpu")
    return out


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder below, with a digest of what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Give a command that must be refused; the one line that it says."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> str:
        before = contents(tmp_path)
        capsys.readouterr()
        code = _run([str(one) for one in arguments])
        said = capsys.readouterr()
        assert code == 2, said.err
        assert said.out == ""
        assert said.err.startswith("nervure: ")
        assert said.err.count("\n") == 1, said.err
        assert "Traceback" not in said.err
        assert contents(tmp_path) == before
        return said.err.removeprefix("nervure: ").strip()

    return call


def arrays(folder: Path, **held: Any) -> Path:
    np.savez(folder / "d.npz", **held)
    return folder / "d.npz"


IMAGES = np.zeros((20, 6, 6), np.uint8)
LABELS = np.arange(20) % 2


class TestData:
    @pytest.mark.parametrize(
        ("held", "line"),
        [
            (dict(x=IMAGES, y=np.zeros(20, np.int64)), "only the class '0' occurs"),
            (dict(x=np.full((20, 6), np.nan), y=LABELS), "sample 0 is NaN at"),
            (dict(x=np.where(np.arange(120).reshape(20, 6) == 38, np.inf, 0.0), y=LABELS), "sample 6 is infinite at"),
            (dict(x=IMAGES, y=LABELS - 2), "label of sample 0 is -2, outside"),
            (dict(x=IMAGES, y=LABELS[:19]), "20 samples but 19 labels"),
            (dict(x=np.zeros(20), y=LABELS), "each sample is a single number"),
            (dict(x=np.zeros((20, 2, 2, 2, 2)), y=LABELS), "cannot be read as"),
            (dict(x=np.zeros((0, 6, 6)), y=np.zeros(0)), "holds no samples"),
            (dict(x=np.array([["a", "b"]] * 20), y=LABELS), "not real numbers"),
            (dict(x=IMAGES, y=LABELS + 0.5), None),
            (dict(a=IMAGES), "x"),
        ],
        ids=["one class", "NaN", "infinite", "labels", "lengths", "1-D", "5-D", "empty", "words", "targets", "keys"],
    )
    def test_arrays(self, refused: Refused, tmp_path: Path, held: dict[str, Any], line: str | None) -> None:
        file = arrays(tmp_path, **held)
        if line is None:  # whole targets are classes, others a regression, which a classifier's objective refuses
            line = "needs class labels; the task is 'regression'"
        for command in (("data", file), ("train", file, "--epochs", 1, "-o", "r", "--objective", "cross-entropy")):
            if command[0] == "data" and "needs class labels" in line:
                continue
            said = refused(*command)
            assert line in said
            assert "d.npz" in said

    def test_missing(self, refused: Refused, run: Path) -> None:
        for command in (("data", "no.npz"), ("train", "no.npz", "-o", "r"), ("shape", "no.npz", "-o", "r"),
                        ("predict", run, "no.npz"), ("evaluate", run, "--data", "no.npz")):  # fmt: skip
            assert "no.npz: no such file" in refused(*command)
        assert "no.png: no such file" in refused("predict", run, "no.png")
        for command in (("evaluate", "no"), ("report", "no"), ("export", "no", "--onnx"), ("compare", "no", run),
                        ("predict", "no", "digits")):  # fmt: skip
            assert "no: no such folder" in refused(*command)
        assert "not a recipe" in refused("train", "digits", "-o", "r", "--recipe", "no.json")
        assert "no.safetensors" in refused("train", "digits", "-o", "r", "--weights", "no.safetensors")
        assert "no.json" in refused("train", "digits", "-o", "r", "--net", "no.json")

    def test_folders(self, refused: Refused, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "holds no images" in refused("data", "empty")
        (tmp_path / "half" / "cat").mkdir(parents=True)
        (tmp_path / "half" / "dog").mkdir()
        Image.fromarray(IMAGES[0]).save(tmp_path / "half" / "cat" / "a.png")
        assert "dog: this class folder holds no images" in refused("train", "half", "-o", "r")
        (tmp_path / "note.md").touch()
        assert "'.md' are not read; known are" in refused("data", "note.md")

    def test_corrupt_pictures_are_named_and_skipped_only_if_asked(self, refused: Refused, tmp_path: Path) -> None:
        for label in ("cat", "dog"):
            (tmp_path / "pets" / label).mkdir(parents=True)
            for number in range(4):
                Image.fromarray(IMAGES[0] + number).save(tmp_path / "pets" / label / f"{number}.png")
        (tmp_path / "pets" / "dog" / "2.png").write_bytes(b"\x89PNG nothing")
        said = refused("train", "pets", "--net", "mlp", "--epochs", 1, "-o", "r")
        assert "dog/2.png" in said
        assert "--data-option on_corrupt=skip" in said
        command = ["train", "pets", "--net", "mlp", "--epochs", "1", "-o", "r", "--data-option", "on_corrupt=skip"]
        assert _run(command) == 0
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "pets" / "dog" / "2.png")
        said = refused("data", "pets")
        assert "images of 2 sizes" in said
        assert "--data-option size=6" in said

    def test_another_shape_or_other_classes_than_the_run(self, refused: Refused, run: Path, tmp_path: Path) -> None:
        file = arrays(tmp_path, x=np.zeros((20, 9, 9), np.uint8), y=LABELS)
        assert "samples of shape (1, 9, 9)" in refused("evaluate", run, "--data", file)
        assert "samples of shape (1, 9, 9)" in refused("predict", run, file, "-o", "l.csv")
        file = arrays(tmp_path, x=np.zeros((20, 8, 8), np.uint8), y=np.array(["cat", "dog"])[LABELS])
        assert "knows no class 'cat'; there are: 0, 1" in refused("evaluate", run, "--data", file)
        assert "holds series samples" in refused("evaluate", run, "--data", "synthetic-series")
        assert "its task is none" in refused("evaluate", run, "--data", "digits", "--data-option", "task=none")


class TestNames:
    @pytest.mark.parametrize(
        ("arguments", "nearest", "listed"),
        [
            (("train", "digitz", "-o", "r"), "digits", "synthetic-series"),
            (("data", "digitz"), "digits", "synthetic-series"),
            (("train", "digits", "-o", "r", "--net", "lenet6"), "lenet5", "resnet20"),
            (("train", "digits", "-o", "r", "--objective", "cross-entropi"), "cross-entropy", "huber"),
            (("train", "digits", "-o", "r", "--callback", "weight-averag"), "weight-average", "weight-average"),
            (("train", "digits", "-o", "r", "--optimizer", "adan"), "adam", "rmsprop"),
            (("train", "digits", "-o", "r", "--schedule", "cosinus"), "cosine", "linear"),
            (("train", "digits", "-o", "r", "--precision", "bf16"), "bf16-mixed", "32-true"),
            (("train", "digits", "-o", "r", "--set", "epoch=3"), "epochs", "weight_decay"),
            (("train", "digits", "-o", "r", "--set", "monitor=acuracy", "--epochs", "1", "-q"), "accuracy", "loss"),
            (("train", "digits", "-o", "r", "--augment", "shfit=1"), "shift", "rotate"),
            (("train", "digits", "-o", "r", "--net", "mlp", "--net-option", "width=[3]"), "widths", "batch_norm"),
            (("data", "synthetic-shapes", "--data-option", "noize=1"), "noise", "size"),
            (("evaluate", "RUN", "--split", "tets"), "test", "validation"),
            (("shape", "digits", "-o", "r", "--net", "lenet6"), "lenet5", "resnet20"),
        ],
    )
    def test_the_nearest_and_the_list(
        self, refused: Refused, run: Path, arguments: tuple[str, ...], nearest: str, listed: str
    ) -> None:
        said = refused(*(str(run) if one == "RUN" else one for one in arguments))
        assert f"did you mean {nearest!r}? There are: " in said
        assert listed in said.partition("There are: ")[2]

    def test_devices(self, refused: Refused, run: Path) -> None:
        for command in (("train", "digits", "-o", "r"), ("evaluate", run), ("predict", run, "digits"),
                        ("shape", "digits", "-o", "r")):  # fmt: skip
            assert "unknown device 'tpux'; there are: auto, cpu, cuda" in refused(*command, "--device", "tpux")

    def test_formats(self, refused: Refused, run: Path) -> None:
        assert "No such option: --onxx (Possible options: --json, --onnx)" in refused("export", run, "--onxx")
        assert "the ending must be .csv or .json" in refused("predict", run, "digits", "-o", "l.xls")


class TestSettings:
    @pytest.mark.parametrize(
        ("more", "line"),
        [
            (("--epochs", "-3"), "epochs: Input should be greater than or equal to 1, got -3"),
            (("--epochs", "0"), "epochs"),
            (("--batch", "0"), "batch: Input should be greater than or equal to 1, got 0"),
            (("--lr", "0"), "lr: Input should be greater than 0"),
            (("--lr", "nan"), "lr: "),
            (("--set", "lr"), "--set 'lr': write it as key=value"),
            (("--set", "momentum=fast"), "momentum: Input should be a valid number"),
            (("--schedule", "step"), "schedule 'step' needs milestones"),
            (("--set", "warmup=20"), "leaves none of 10 to train"),
            (("--set", "class_weights=[1, 2]"), "2 factors for 10 classes"),
            (("--set", 'objective_options={"label_smoothing": 3}'), "label_smoothing = 3"),
            (("--set", 'objective_options={"smooth": 3}'), "objective 'cross-entropy'"),
            (("--callback", 'weight-average:{"decay": 3}'), "decay = 3"),
            (("--callback", "weight-average:3"), "options"),
            (("--augment", "rotate=far"), "rotate"),
            (("--seed", "-1"), "--seed"),
            (("--threads", "0"), "--threads"),
            (("--net", "lenet5", "--net-option", "batch_norm=true", "--batch", "1"), "batch norm cannot learn from"),
        ],
    )
    def test_of_training(self, refused: Refused, more: tuple[str, ...], line: str) -> None:
        assert line in refused("train", "digits", "-o", "r", "-q", *more)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("{", "not a recipe"),
            ("[1]", "no JSON object"),
            ('{"epoch": 3}', "unknown field 'epoch'; did you mean 'epochs'"),
            ('{"callbacks": [{"nam": "x"}]}', "callbacks"),
            ('{"lr": "fast"}', "lr"),
        ],
    )
    def test_of_a_recipe_file(self, refused: Refused, tmp_path: Path, text: str, line: str) -> None:
        (tmp_path / "recipe.json").write_text(text)
        assert line in refused("train", "digits", "-o", "r", "--recipe", "recipe.json")


class TestNetworks:
    def test_that_do_not_fit_the_data(self, refused: Refused, tmp_path: Path) -> None:
        table = arrays(tmp_path, x=np.zeros((20, 6)), y=LABELS)
        assert "lenet5" in refused("train", table, "--net", "lenet5", "-o", "r")
        assert "series-cnn" in refused("train", "digits", "--net", "series-cnn", "-o", "r")
        (tmp_path / "b.json").write_text(json.dumps({"layers": [{"type": "dense", "units": 7}]}))
        assert "gives (2, 7) for two samples; this data needs (2, 10)" in refused(
            "train", "digits", "--net", "b.json", "-o", "r"
        )
        (tmp_path / "b.json").write_text('{"layers": [{"type": "rose"}]}')
        assert "blueprint" in refused("train", "digits", "--net", "b.json", "-o", "r")
        said = refused("train", "digits", "--net", "mlp", "--objective", "reconstruction", "-o", "r")
        assert "it needs an auto-encoder" in said

    def test_a_strangers_run_needs_its_function(self, refused: Refused, tmp_path: Path) -> None:
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        store.save(tmp_path / "s", Run.of(net, data.load("digits")))
        for command in (("evaluate", "s"), ("report", "s"), ("export", "s", "--safetensors"), ("compare", "s", "s")):
            assert "--net" in refused(*command)
        assert "cannot be imported" in refused("evaluate", "s", "--net", "no.such:thing")
        assert "cannot be imported" in refused("evaluate", "s", "--net", "json:no_such_function")

    def test_a_function_where_none_is_needed(self, refused: Refused, run: Path) -> None:
        assert "is not needed" in refused("evaluate", run, "--net", "json:loads")


class TestDamage:
    @pytest.mark.parametrize("name", ["model.safetensors", "history.jsonl", "evidence/confusion.npz", "run.json"])
    def test_a_damaged_run_is_not_half_loaded(self, refused: Refused, run: Path, tmp_path: Path, name: str) -> None:
        shutil.copytree(run, tmp_path / "r")
        file = tmp_path / "r" / name
        file.write_bytes(file.read_bytes()[:-9])
        for command in (("evaluate", "r"), ("report", "r"), ("predict", "r", "digits", "-o", "l.csv"),
                        ("export", "r", "--safetensors"), ("compare", run, "r", "-o", "c.html")):  # fmt: skip
            said = refused(*command)
            assert f"r/{name}" in said or f"r: {name}" in said

    def test_a_newer_run(self, refused: Refused, run: Path, tmp_path: Path) -> None:
        shutil.copytree(run, tmp_path / "r")
        record = json.loads((tmp_path / "r" / "run.json").read_text())
        del record["digest"]
        record["schema_version"] += 1
        (tmp_path / "r" / "run.json").write_text(json.dumps({**record, "digest": digest_of(record)}))
        assert "update nervure to read it" in refused("evaluate", "r")

    def test_a_truncated_archive(self, refused: Refused, tmp_path: Path) -> None:
        file = arrays(tmp_path, x=IMAGES, y=LABELS)
        file.write_bytes(file.read_bytes()[:-60])
        assert "d.npz" in refused("data", file)
        assert "d.npz" in refused("train", file, "-o", "r")


WRITERS = [
    ("train", "digits", "--net", "mlp", "--epochs", 1, "-q", "-o", "sub/out"),
    ("predict", "RUN", "digits", "-q", "-o", "sub/out.csv"),
    ("report", "RUN", "-q", "-o", "sub/out.html"),
    ("compare", "RUN", "RUN", "-q", "-o", "sub/out.html"),
    ("data", "digits", "-q", "-o", "sub/out.html"),
    ("export", "RUN", "--safetensors", "--no-latency", "-q", "-o", "sub/out"),
]
each_writer = pytest.mark.parametrize("command", WRITERS, ids=[str(one[0]) for one in WRITERS])


class TestWriting:
    def test_an_output_that_exists(self, refused: Refused, run: Path, tmp_path: Path) -> None:
        shutil.copytree(run, tmp_path / "r")
        (tmp_path / "file").write_text("mine")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "thesis.doc").touch()
        for start in (("train", "digits", "-q"), ("shape", "digits", "-q")):
            assert "r holds a run; give --resume to go on with it, or --overwrite" in refused(*start, "-o", "r")
            assert "a file of that name exists" in refused(*start, "-o", "file")
            assert "file is a file" in refused(*start, "-o", "file/deeper")
            for more in ((), ("--overwrite",), ("--resume",)):
                assert "'thesis.doc', which is no part of a run" in refused(*start, "-o", "full", *more)
        for command in (("predict", run, "digits"), ("report", run), ("compare", run, run), ("data", "digits")):
            file = "f.csv" if command[0] == "predict" else "f.html"
            (tmp_path / file).write_text("mine")
            assert f"{file} exists; choose another name, or give --overwrite" in refused(*command, "-o", file)
            assert "the ending must be" in refused(*command, "-o", "f.pdf")
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "model.safetensors").touch()
        assert "exists" in refused("export", run, "--safetensors", "-o", "e")

    @each_writer
    def test_no_room_on_the_disk(
        self, refused: Refused, run: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...]
    ) -> None:
        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("nervure.store.atomic.os.replace", full)
        said = refused(*(run if one == "RUN" else one for one in command))
        assert "sub/out" in said
        assert "no room left on the disk; free some" in said or "free some room on the disk" in said

    def test_no_room_for_weights(self, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
        """safetensors tells of the system's error in words alone."""
        from safetensors import SafetensorError

        def full(*arguments: object, **options: object) -> None:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

        monkeypatch.setattr("safetensors.torch.save_file", full)
        assert "no room left on the disk" in refused("train", "digits", "--net", "mlp", "-q", "-o", "sub/out")

    @each_writer
    def test_a_read_only_file_system(
        self, refused: Refused, run: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...]
    ) -> None:
        def read_only(*arguments: object, **options: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        for name in ("os.mkdir", "pathlib.Path.touch"):
            monkeypatch.setattr(name, read_only)
        said = refused(*(run if one == "RUN" else one for one in command))
        assert "the file system is read-only; choose another folder" in said

    @each_writer
    def test_a_folder_without_permission(
        self, refused: Refused, run: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[object, ...]
    ) -> None:
        """Said before any work is done; root may write anywhere, so the question itself is answered with no."""
        monkeypatch.setattr(os, "access", lambda path, mode, **options: not mode & os.W_OK)
        said = refused(*(run if one == "RUN" else one for one in command))
        assert "no permission to write there; choose another folder" in said
