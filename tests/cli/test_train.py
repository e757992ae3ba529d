from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nervure import data, nets, store
from nervure.train import Recipe

QUICK = ("--net", "mlp", "--net-option", "widths=[8]", "--epochs", 1)


def recipe_of(run: Path) -> Recipe:
    """The recipe that a run's lineage holds."""
    return Recipe.of(store.load(run).lineage[-1].settings)


class TestResult:
    def test_streams(self, call, tmp_path: Path) -> None:
        said = call("train", "digits", *QUICK, "-o", "r")
        assert said.code == 0
        lines = said.err.splitlines()
        assert lines[0].startswith("epoch 1/1  train loss ")
        assert lines[1:] == ["the run is in r; see it with: nervure report r"]
        assert "accuracy" in said.out and "epoch" not in said.out
        assert sorted(path.name for path in tmp_path.joinpath("r").iterdir()) == [
            "evidence", "history.jsonl", "model.safetensors", "run.json",
        ]  # fmt: skip
        assert (
            store.load("r").lineage[-1].command
            == "nervure train digits --net mlp --net-option 'widths=[8]' --epochs 1 -o r"
        )

    def test_json_and_quiet(self, call) -> None:
        said = call("train", "digits", *QUICK, "-o", "r", "--json", "-q")
        found = json.loads(said.out)
        assert said.err == ""
        assert (found["run"], found["epochs"]) == ("r", 1)
        assert 0 < found["metrics"]["accuracy"] < 1

    def test_default_network(self, call) -> None:
        call("train", "synthetic-series", "--data-option", "n=30", "--epochs", 1, "-o", "r", "-q")
        assert store.load("r").origin.base.spec == "series-cnn"


class TestRecipe:
    def test_each_option_arrives(self, call) -> None:
        how = {
            "--batch": 50, "--lr": 0.02, "--optimizer": "sgd", "--schedule": "cosine", "--weight-decay": 0.001,
            "--objective": "cross-entropy", "--patience": 2, "--seed": 4, "--precision": "bf16-mixed",
        }  # fmt: skip
        words = [word for pair in how.items() for word in pair]
        more = ("--set", "momentum=0.5", "--set", "keep=last", "--set", "milestones=[1, 2]", "--set", "clip=1",
                "--augment", "shift=0.1", "--augment", "border=reflection",
                "--callback", 'weight-average:{"decay": 0.9}')  # fmt: skip
        said = call("train", "digits", *QUICK, "-o", "r", *words, *more, "-q")
        assert said.code == 0, said.err
        expected = Recipe(
            epochs=1, batch=50, lr=0.02, optimizer="sgd", schedule="cosine", weight_decay=0.001, patience=2, seed=4,
            objective="cross-entropy", precision="bf16-mixed", momentum=0.5, keep="last", milestones=(1, 2), clip=1.0,
            augment={"shift": 0.1, "border": "reflection"},
            callbacks=({"name": "weight-average", "options": {"decay": 0.9}},),
        )  # fmt: skip
        assert recipe_of(Path("r")).difference(expected) == []

    def test_file_then_set_then_options(self, call, tmp_path: Path) -> None:
        (tmp_path / "recipe.json").write_text(json.dumps({"epochs": 1, "batch": 64, "lr": 0.5, "seed": 7}))
        how = ("--recipe", "recipe.json", "--set", "lr=0.25", "--batch", 32)
        assert call("train", "digits", "--net", "mlp", *how, "-o", "r", "-q").code == 0
        assert recipe_of(Path("r")).difference(Recipe(epochs=1, batch=32, lr=0.25, seed=7)) == []
        call("train", "digits", "--net", "mlp", *how, "--seed", 0, "-o", "s", "-q")
        assert recipe_of(Path("s")).seed == 0

    def test_callback_options_are_json(self, call) -> None:
        said = call("train", "digits", *QUICK, "-o", "r", "--callback", "weight-average:decay=3")
        assert (said.code, said.err[:35]) == (2, "nervure: --callback: the options ar")


class TestNetwork:
    def test_settings(self, call) -> None:
        call("train", "digits", *QUICK, "-o", "r", "-q")
        assert store.load("r").origin.base.settings == {"widths": [8]}

    def test_weights_to_start_from(self, call, base: Path) -> None:
        weights = base / "model.safetensors"
        how = ("--net", "mlp", "--net-option", "widths=[32]", "--epochs", 1, "--lr", 1e-12, "--set", "keep=last")
        assert call("train", "digits", *how, "--weights", weights, "-o", "r", "-q").code == 0
        for name, value in store.load("r").net.state_dict().items():
            assert torch.allclose(value, store.load(base).net.state_dict()[name], atol=1e-6)
        assert "do not fit the network" in call("train", "digits", *QUICK, "--weights", weights, "-o", "s").err

    def test_the_shape_of_a_run_with_new_weights(self, call, base: Path) -> None:
        """The control of pruning: what the smaller network learns from scratch."""
        assert call("prune", base, "--keep", "0.5", "-o", "small", "-q").code == 0
        how = ("--net", "small", "--epochs", 1, "--seed", 2)
        assert call("train", "digits", *how, "-o", "r", "-q").code == 0
        small, scratch = store.load("small"), store.load("r")
        assert scratch.metrics["parameters"] == small.metrics["parameters"]
        assert [action.name for action in scratch.lineage] == ["train"]
        assert scratch.lineage[0].settings["seed"] == 2
        still = ("--lr", 1e-12, "--set", "keep=last", "--weights", "small/model.safetensors", "-o", "s", "-q")
        assert call("train", "digits", *how, *still).code == 0
        for name, value in store.load("s").net.state_dict().items():
            assert torch.allclose(value, small.net.state_dict()[name], atol=1e-6)
        said = call("train", "digits", *how, "--net-option", "widths=[8]", "-o", "t").err
        assert said == "nervure: --net-option widths: small is a run, whose network has its shape; leave it out\n"
        said = call("train", "digits", "--data-option", "task=none", *how, "-o", "t").err
        assert said.startswith(
            "nervure: small reads samples of (1, 8, 8) into 10 outputs; those of digits are (1, 8, 8)"
        )

    def test_without_labels_it_says_what_is_trained(self, call) -> None:
        how = ("train", "digits", "--data-option", "task=none", "--epochs", 1, "-o")
        said = call(*how, "r")
        assert said.code == 0
        assert "digits has no labels: training is to give samples back; nervure cluster finds groups\n" in said.err
        assert call(*how, "s", "-q").err == ""

    def test_blueprint(self, call, tmp_path: Path) -> None:
        layers = [{"type": "conv", "units": 4, "kernel": 3}, {"type": "pool"}, {"type": "dense", "units": 10}]
        (tmp_path / "blueprint.json").write_text(json.dumps({"layers": layers}))
        said = call("train", "digits", "--net", "blueprint.json", "--epochs", 1, "-o", "r", "-q")
        assert said.code == 0, said.err
        assert store.load("r").origin.base.kind == "blueprint"

    def test_a_function_of_ones_own_in_the_current_folder(
        self, call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import sys

        monkeypatch.setattr(sys, "path", [*sys.path])
        (tmp_path / "my_own_net.py").write_text(
            "from torch import nn\n"
            "def make(in_shape, classes, width=4):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))\n"
        )
        said = call("train", "digits", "--net", "my_own_net:make", "--net-option", "width=6", "--epochs", 1, "-o", "r")
        assert said.code == 0, said.err
        assert said.err.splitlines()[-1].endswith("nervure report r --net my_own_net:make")
        for command in (("evaluate", "r"), ("report", "r"), ("compare", "r", "r"), ("predict", "r", "digits"),
                        ("export", "r", "--safetensors", "--no-latency")):  # fmt: skip
            said = call(*command)
            assert (said.code, said.err.count("\n")) == (2, 1), command
            assert "--net my_own_net:make" in said.err
            assert call(*command, "--net", "my_own_net:make", "-q").code == 0, command
        again = ("train", "digits", "--net", "my_own_net:make", "--net-option", "width=6", "--epochs", 1, "-o", "r")
        assert call(*again, "--resume", "-q").code == 0

    def test_a_function_that_is_not_there(self, call) -> None:
        said = call("train", "digits", "--net", "no_such_module:make", "-o", "r")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "no_such_module:make: cannot be imported" in said.err


class TestOut:
    def test_finished_runs_are_kept_resumed_and_replaced(self, call, tmp_path: Path) -> None:
        command = ("train", "digits", *QUICK, "-o", "r", "-q")
        call(*command)
        before = {file: file.read_bytes() for file in (tmp_path / "r").rglob("*") if file.is_file()}
        said = call(*command)
        assert (said.code, said.err) == (
            2,
            "nervure: r holds a run; give --resume to go on with it, or --overwrite to replace it\n",
        )
        assert call(*command, "--resume").code == 0
        said = call(
            "train", "digits", "--net", "mlp", "--net-option", "widths=[9]", "--epochs", 1, "-o", "r", "--resume"
        )
        assert said.code == 2
        assert "started with another network: mlp with widths=[8], not mlp with widths=[9]" in said.err
        assert "epochs: 1 is not 2" in call("train", "digits", *QUICK[:-1], 2, "-o", "r", "--resume").err
        assert {file: file.read_bytes() for file in (tmp_path / "r").rglob("*") if file.is_file()} == before
        call("report", "r")
        assert call("train", "digits", *QUICK, "--seed", 1, "-o", "r", "-q", "--overwrite").code == 0
        after = {file: file.read_bytes() for file in (tmp_path / "r").rglob("*") if file.is_file()}
        assert after.keys() == before.keys()  # the old run's page went with it
        assert after[tmp_path / "r" / "model.safetensors"] != before[tmp_path / "r" / "model.safetensors"]

    def test_a_run_to_be_replaced_stands_until_something_is_in_its_place(
        self, call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call("train", "digits", *QUICK, "-o", "r", "-q")
        before = (tmp_path / "r" / "run.json").read_bytes()
        said = call("train", "digits", *QUICK, "--objective", "mse", "-o", "r", "-q", "--overwrite")
        assert said.code != 0
        assert (tmp_path / "r" / "run.json").read_bytes() == before
        assert call("evaluate", "r").code == 0

    def test_resuming_what_was_interrupted_while_replacing_a_run(self, call, tmp_path: Path) -> None:
        """The old run is gone with the first checkpoint, so --resume cannot mistake it for the result."""
        from nervure import train
        from nervure.errors import InterruptedWork

        call("train", "digits", *QUICK, "-o", "r", "-q")
        ds = data.load("digits")
        net = nets.build("mlp", ds, widths=[8], seed=3)
        asked = iter([False] * 12 + [True] * 99)
        with pytest.raises(InterruptedWork):
            train.fit(
                net, ds, Recipe(epochs=2, seed=3), out="r", overwrite=True, device="cpu", stop=lambda: next(asked)
            )
        assert not store.is_run("r")
        assert call("train", "digits", *QUICK[:-1], 2, "--seed", 3, "-o", "r", "--resume", "-q").code == 0
        assert len(store.load("r").history) == 2


def test_two_trainings_in_one_process_do_not_disturb_each_other(call, tmp_path: Path) -> None:
    for name in "ab":
        call("train", "digits", *QUICK, "-o", name, "-q")
    first, second = (np.fromfile(tmp_path / name / "model.safetensors", np.uint8) for name in "ab")
    assert np.array_equal(first, second)
