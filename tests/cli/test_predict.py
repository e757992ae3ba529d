from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nervure import data, nets, store, train
from nervure.cli.predict import _as_csv, _as_json, rows_of
from nervure.train import Recipe


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def expected(base: Path, x: np.ndarray) -> np.ndarray:
    """Class probabilities by the network itself, from stored values."""
    import torch

    run = store.load(base)
    with torch.no_grad():
        return run.net(run.preprocessing(torch.from_numpy(x)[:, None])).softmax(1).numpy()


class TestArrays:
    @pytest.mark.parametrize("name", ["x.npy", "x.npz", "labelled.npz", "set.npz:a"])
    def test_each_sample_gets_a_label_and_probabilities(
        self, call, base: Path, digits, tmp_path: Path, name: str
    ) -> None:
        x = digits[0][:9].astype(np.uint8)
        np.save(tmp_path / "x.npy", x)
        np.savez(tmp_path / "x.npz", x=x)
        np.savez(tmp_path / "labelled.npz", x=x, y=np.zeros(9, np.int64))
        np.savez(tmp_path / "set.npz", **{"a/x_train": x, "b/x_train": x[:2]})
        said = call("predict", base, name, "--batch", 4)
        assert (said.code, said.err) == (0, "")
        found = rows(said.out)
        wanted = expected(base, x)
        assert [row["sample"] for row in found] == [f"{name}[{place}]" for place in range(9)]
        assert [int(row["label"]) for row in found] == wanted.argmax(1).tolist()
        got = np.array([[float(row[f"p_{label}"]) for label in range(10)] for row in found])
        assert np.abs(got - wanted).max() < 2e-6

    def test_a_named_source(self, call, base: Path) -> None:
        assert len(rows(call("predict", base, "digits").out)) == 1797

    def test_one_sample(self, call, base: Path, digits, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", digits[0][:1].astype(np.uint8))
        assert len(rows(call("predict", base, "x.npy").out)) == 1


class TestPictures:
    def test_single_files_are_as_the_array(self, call, base: Path, photos: Path, digits) -> None:
        files = sorted(photos.glob("3/*.png"))
        found = rows(call("predict", base, *files).out)
        assert [row["sample"] for row in found] == [str(file) for file in files]
        x = digits[0][[int(file.stem) for file in files]]
        got = np.array([[float(row[f"p_{label}"]) for label in range(10)] for row in found])
        assert np.abs(got - expected(base, x)).max() < 0.02  # 0 to 255 in whole numbers is not quite 0 to 16

    def test_folders_with_and_without_classes_beside_files(
        self, call, base: Path, photos: Path, digits, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "x.npy", digits[0][:2].astype(np.uint8))
        single = next((photos / "5").iterdir())
        found = rows(call("predict", base, photos, single, "x.npy", photos / "4").out)
        assert len(found) == 30 + 1 + 2 + 3
        assert all(Path(row["sample"]).is_file() for row in [*found[:31], *found[33:]])
        again = next(row for row in found if row["sample"] == str(single))
        assert again["label"] == found[30]["label"]

    def test_another_size_and_colour(self, call, base: Path, photos: Path, tmp_path: Path) -> None:
        file = sorted(photos.glob("0/*.png"))[0]
        with Image.open(file) as picture:
            picture.resize((32, 48), Image.Resampling.NEAREST).convert("RGB").save(tmp_path / "big.png")
        label, again = (rows(call("predict", base, one).out)[0]["label"] for one in (file, "big.png"))
        assert label == again == "0"

    def test_grey_pictures_for_a_network_of_colours(self, call, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        for label, colour in (("blue", (20, 20, 220)), ("red", (220, 20, 20))):
            (tmp_path / "colours" / label).mkdir(parents=True)
            for number in range(6):
                pixels = np.clip(colour + rng.normal(0, 9, (6, 6, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "colours" / label / f"{number}.png")
        assert call("train", "colours", "--net", "mlp", "--lr", 0.01, "--epochs", 5, "-o", "r", "-q").code == 0
        Image.fromarray(np.full((6, 6), 90, np.uint8)).save(tmp_path / "grey.png")
        Image.fromarray(np.full((6, 6, 3), (90, 90, 90), np.uint8)).save(tmp_path / "same.png")
        grey, same, red = rows(call("predict", "r", "grey.png", "same.png", "colours/red/0.png").out)
        assert [grey[name] for name in ("p_blue", "p_red")] == [same[name] for name in ("p_blue", "p_red")]
        assert red["label"] == "red"

    def test_corrupt_ones_are_named_and_skipped_only_if_asked(
        self, call, base: Path, photos: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.png").write_bytes(b"no picture")
        good = next((photos / "1").iterdir())
        said = call("predict", base, "bad.png", good, "-o", "l.csv")
        assert (said.code, said.out) == (2, "")
        assert "bad.png" in said.err and "--skip-corrupt" in said.err and said.err.count("\n") == 1
        assert not (tmp_path / "l.csv").exists()
        said = call("predict", base, "bad.png", good, "--skip-corrupt")
        assert [row["sample"] for row in rows(said.out)] == [str(good)]
        assert "left out 1 of 2" in said.err
        (tmp_path / "mixed").mkdir()
        (tmp_path / "mixed" / "a.png").write_bytes(good.read_bytes())
        (tmp_path / "mixed" / "b.png").write_bytes(good.read_bytes()[:60])
        assert "b.png" in (said := call("predict", base, "mixed")).err and "--skip-corrupt" in said.err
        assert len(rows(call("predict", base, "mixed", "--skip-corrupt", "-q").out)) == 1


class TestOtherTasks:
    def test_series_and_their_length(self, call, tmp_path: Path) -> None:
        assert call("train", "synthetic-series", "--epochs", 1, "--data-option", "n=40", "-o", "r", "-q").code == 0
        run = store.load(tmp_path / "r")
        np.save(tmp_path / "s.npy", np.zeros((3, *run.in_shape), np.float32))
        assert len(rows(call("predict", "r", "s.npy").out)) == 3
        channels, steps = run.in_shape
        x = np.random.default_rng(0).normal(size=(3, channels, 7)).astype(np.float32)
        np.save(tmp_path / "short.npy", x)
        np.save(tmp_path / "padded.npy", np.pad(x, ((0, 0), (0, 0), (0, steps - 7)), constant_values=np.nan))
        short, padded = (rows(call("predict", "r", f"{name}.npy").out) for name in ("short", "padded"))
        assert [list(one.values())[1:] for one in short] == [list(one.values())[1:] for one in padded]
        np.save(tmp_path / "long.npy", np.zeros((3, channels, steps + 1), np.float32))
        said = call("predict", "r", "long.npy")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert f"up to {steps + 1} steps, r reads up to {steps}; cut them" in said.err
        np.save(tmp_path / "other.npy", np.zeros((3, channels + 1, steps), np.float32))
        assert f"shape {(channels + 1, steps)}" in call("predict", "r", "other.npy").err
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
        assert "a picture, but r reads series" in call("predict", "r", "a.png").err

    def test_regression_and_reconstruction_give_outputs(self, call, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "t.npz", x=rng.normal(size=(40, 5)), y=rng.normal(size=40))
        assert call("train", "t.npz", "--epochs", 1, "-o", "r", "-q").code == 0
        np.save(tmp_path / "new.npy", rng.normal(size=(2, 5)))
        assert [list(row) for row in rows(call("predict", "r", "new.npy").out)] == [["sample", "output_0"]] * 2
        assert call("train", "t.npz", "--data-option", "task=none", "--epochs", 1, "-o", "a", "-q").code == 0
        found = json.loads(call("predict", "a", "new.npy", "--json").out)
        assert [len(row["output"]) for row in found] == [5, 5]


class TestTheLabel:
    @pytest.fixture
    def near(self) -> tuple[store.Run, data.Dataset]:
        """A run that gives two classes the same probability up to the sixth decimal, and the second one more."""
        ds = data.from_arrays(np.eye(4, dtype=np.float32), np.arange(4) % 2, names=("a", "b"), test=0, validation=0)
        net = nets.build("mlp", ds, widths=[])
        for name, value in net.state_dict().items():
            value.copy_(value.new_tensor([0, 4e-7]) if name.endswith("bias") else value * 0)
        return store.Run.of(net, ds), ds

    def test_is_chosen_before_probabilities_are_rounded(self, near: tuple[store.Run, data.Dataset]) -> None:
        rows_made = rows_of(*near, 2, "cpu")
        assert [one["label"] for one in rows(_as_csv(near[0], rows_made))] == ["b"] * 4
        made = json.loads(_as_json(near[0], rows_made))
        assert [one["label"] for one in made] == ["b"] * 4
        assert made[0]["probabilities"] == {"a": 0.5, "b": 0.5}

    def test_of_names_that_are_no_utf8(self, call, base: Path, photos: Path, tmp_path: Path) -> None:
        odd = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"caf\xe9.png"))
        Path(odd).write_bytes(next((photos / "1").iterdir()).read_bytes())
        for end in ("csv", "json"):
            assert call("predict", base, odd, "-o", f"l.{end}").code == 0
            assert "caf\\xe9.png" in (tmp_path / f"l.{end}").read_bytes().decode().replace("\\\\", "\\")
        [shown] = rows(call("predict", base, odd).out)
        assert shown["sample"].endswith("caf\\xe9.png")


class TestFiles:
    @pytest.fixture
    def odd(self, tmp_path: Path) -> Path:
        """A run whose class names hold what CSV must quote."""
        names = ('cat, "grey"', "dog\nbrown")
        ds = data.from_arrays(np.eye(8, dtype=np.float32), np.arange(8) % 2, names=names)
        train.fit(nets.build("mlp", ds, widths=[4]), ds, Recipe(epochs=1), out=tmp_path / "odd", device="cpu")
        np.save(tmp_path / "x.npy", np.eye(8, dtype=np.float32))
        return tmp_path / "odd"

    def test_csv_and_json(self, call, odd: Path, tmp_path: Path) -> None:
        said = call("predict", odd, "x.npy", "-o", "deep/l.csv")
        assert said == (0, "", "wrote 8 rows to deep/l.csv\n")
        found = rows((tmp_path / "deep" / "l.csv").read_text())
        names = ['cat, "grey"', "dog\nbrown"]
        assert list(found[0]) == ["sample", "label", *(f"p_{name}" for name in names)]
        assert {row["label"] for row in found} <= set(names)
        said = call("predict", odd, "x.npy", "-o", "l.json", "-q")
        assert said == (0, "", "")
        kept = json.loads((tmp_path / "l.json").read_text())
        assert [row["label"] for row in kept] == [row["label"] for row in found]
        assert kept[0]["probabilities"].keys() == set(names)
        assert json.loads(call("predict", odd, "x.npy", "--json").out) == kept

    def test_json_about_a_csv_file(self, call, odd: Path, tmp_path: Path) -> None:
        said = call("predict", odd, "x.npy", "-o", "l.csv", "--json")
        assert json.loads(said.out) == {"file": "l.csv", "samples": 8}
        assert len(rows((tmp_path / "l.csv").read_text())) == 8

    def test_an_existing_file_is_kept(self, call, odd: Path, tmp_path: Path) -> None:
        (tmp_path / "l.csv").write_text("mine")
        assert call("predict", odd, "x.npy", "-o", "l.csv").code == 2
        assert (tmp_path / "l.csv").read_text() == "mine"
        assert call("predict", odd, "x.npy", "-o", "l.csv", "--overwrite").code == 0
        assert (tmp_path / "l.csv").read_text() != "mine"
        assert "ending must be .csv or .json" in call("predict", odd, "x.npy", "-o", "l.txt").err


def test_a_recording_like_the_runs_own_is_cut_as_that_was(call, tmp_path: Path) -> None:
    rows = [f"{np.sin(t / 5):.3f},{t % 7},{'up' if t < 200 else 'down'}" for t in range(400)]
    (tmp_path / "long.csv").write_text("\n".join(["a,b,what", *rows]))
    (tmp_path / "new.csv").write_text("\n".join(["a,b", *(row.rpartition(",")[0] for row in rows[:90])]))
    how = [one for pair in ("window=20", "stride=10", "label=what") for one in ("--data-option", pair)]
    assert call("train", "long.csv", *how, "--net", "mlp", "--epochs", 1, "-o", "r", "-q").code == 0
    for file, count in (("long.csv", 39), ("new.csv", 8)):
        said = call("predict", "r", file)
        assert (said.code, len(said.out.splitlines())) == (0, 1 + count)
    assert "r is a run, and no data" in call("train", "r", "--epochs", 1, "-o", "s").err
