from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from nervure.data import load

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "unpack.py"


def mosaic(images, across):
    """Lossless WebP of images side by side, row by row."""
    n, side = images.shape[:2]
    whole = images.reshape(n // across, across, side, side, 3).swapaxes(1, 2).reshape(-1, across * side, 3)
    file = io.BytesIO()
    Image.fromarray(whole).save(file, "WEBP", lossless=True)
    return np.frombuffer(file.getvalue(), np.uint8)


def unpack(*folders):
    return subprocess.run([sys.executable, SCRIPT, *folders], capture_output=True, text=True, check=False)


def test_mosaics_become_plain_arrays_once(tmp_path):
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    test = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    (tmp_path / "data").mkdir()
    np.savez(
        tmp_path / "data/cifar10.npz",
        x_train_webp0=mosaic(train[:12], 4), x_train_webp1=mosaic(train[12:], 3), x_test_webp=mosaic(test, 2),
        y_train=np.arange(24) % 2, y_test=np.arange(6) % 2, names=["a", "b"],
    )  # fmt: skip
    done = unpack(tmp_path / "data", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert "x_train (24, 32, 32, 3)" in done.stdout
    assert "cifar100.npz: not there, skipped" in done.stdout
    ds = load("cifar10", data_dir=tmp_path / "cache")
    np.testing.assert_array_equal(ds.x, np.concatenate([train, test]).transpose(0, 3, 1, 2))
    assert ds.names == ("a", "b")
    before = (tmp_path / "cache/cifar10.npz").stat().st_mtime_ns
    assert "left as it is" in unpack(tmp_path / "data", tmp_path / "cache").stdout
    assert (tmp_path / "cache/cifar10.npz").stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["cifar10.npz"]


def test_a_missing_folder_is_one_line(tmp_path):
    done = unpack(tmp_path / "none", tmp_path / "cache")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
