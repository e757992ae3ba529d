from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nervure import data, store, train


def measured(call, *arguments: object) -> dict:
    said = call("evaluate", *arguments, "--json")
    assert (said.code, said.err) == (0, ""), said.err
    return json.loads(said.out)


class TestOwnData:
    def test_equals_the_library(self, call, base: Path) -> None:
        found = measured(call, base)
        expected = train.evaluate(store.load(base), data.load("digits"), device="cpu")
        assert found["metrics"] == pytest.approx(expected.metrics)
        assert found["metrics"]["accuracy"] > 0.7
        assert (found["split"], found["samples"]) == ("test", 359)
        assert list(found["recall"]) == list("0123456789")

    def test_splits(self, call, base: Path) -> None:
        counts = {split: measured(call, base, "--split", split)["samples"] for split in ("train", "validation", "all")}
        assert counts == {"train": 1258, "validation": 180, "all": 1797}

    def test_samples_without_a_label_are_not_counted(self, call, base: Path, digits, tmp_path: Path) -> None:
        images, labels = digits
        some = np.where(np.arange(60) < 20, labels[:60], -1)
        np.savez(tmp_path / "d.npz", x=images[:60].astype(np.uint8), y=some, names=list("0123456789"))
        found = measured(call, base, "--data", "d.npz", "--split", "all")
        assert (found["samples"], found["without_label"]) == (20, 40)
        assert "20 samples (40 more have no label)" in call("evaluate", base, "--data", "d.npz", "--split", "all").out

    def test_table(self, call, base: Path) -> None:
        said = call("evaluate", base, "--batch", 7, "--device", "cpu", "--threads", 1)
        assert said.err == ""
        assert f"{base} on digits, split test, 359 samples" in said.out
        assert "accuracy" in said.out and "recall" in said.out

    def test_data_that_has_changed_is_told(self, call, digits, tmp_path: Path, base: Path) -> None:
        images, labels = digits
        np.savez(tmp_path / "d.npz", x=images[:200].astype(np.uint8), y=labels[:200])
        call("train", "d.npz", "--epochs", 1, "-o", "r", "-q", "--data-option", "seed=3", "--net", "mlp")
        assert call("evaluate", "r").err == ""
        np.savez(tmp_path / "d.npz", x=images[100:300].astype(np.uint8), y=labels[100:300])
        said = call("evaluate", "r")
        assert said.code == 0
        assert said.err == "nervure: warning: d.npz is not what it was when r was made (its fingerprint differs)\n"
        assert call("evaluate", "r", "--quiet").err == ""
        shutil.move(tmp_path / "d.npz", tmp_path / "e.npz")
        assert "d.npz: no such file" in (said := call("evaluate", "r")).err
        assert "give --data" in said.err
        assert call("evaluate", "r", "--data", "e.npz").code == 0


class TestOtherData:
    def test_pictures_of_another_size_range_and_some_classes(
        self, call, base: Path, photos: Path, tmp_path: Path
    ) -> None:
        found = measured(call, base, "--data", photos, "--split", "all")
        assert found["samples"] == 30
        assert found["metrics"]["accuracy"] > 0.7  # 0 to 255 here, 0 to 16 where it was trained
        for label in ("7", "3"):
            shutil.copytree(photos / label, tmp_path / "two" / label)
        found = measured(call, base, "--data", "two", "--split", "all")
        assert found["metrics"]["accuracy"] > 0.6
        assert {name: value for name, value in found["recall"].items() if value is not None}.keys() == {"3", "7"}

    def test_a_run_without_its_data(self, call, base: Path, tmp_path: Path) -> None:
        run = store.load(base)
        run.source = "arrays"
        store.save(tmp_path / "r", run)
        assert "does not say where its data is; give --data" in call("evaluate", "r").err
        assert measured(call, "r", "--data", "digits")["metrics"] == pytest.approx(measured(call, base)["metrics"])
