from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nervure.data import from_arrays
from nervure.data.dataset import Dataset

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


class Writer:
    """Writes small files of every format into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def text(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return path

    def npz(self, name: str, compressed: bool = False, **arrays: object) -> Path:
        (np.savez_compressed if compressed else np.savez)(self.folder / name, **arrays)  # type: ignore[operator, arg-type]
        return self.folder / name

    def idx(self, name: str, array: np.ndarray) -> Path:
        head = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        content = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    def image(self, name: str, array: np.ndarray, **settings: object) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path, **settings)  # type: ignore[arg-type]
        return path

    def classes(self, name: str, per_class: int = 5, size: tuple[int, int] = (6, 7)) -> Path:
        """Class folders 'cat' (dark) and 'dog' (bright) of grey PNGs."""
        for place, label in enumerate(("cat", "dog")):
            for number in range(per_class):
                pixels = np.full(size, 60 * number // per_class + 150 * place, np.uint8)
                self.image(f"{name}/{label}/{number:02}.png", pixels)
        return self.folder / name


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture
def images() -> Dataset:
    rng = np.random.default_rng(0)
    return from_arrays(rng.integers(0, 256, (90, 3, 8, 10), dtype=np.uint8), np.arange(90) % 3)


@pytest.fixture
def waves() -> Dataset:
    """Series of lengths 4 to 12 in two channels."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 2, 12)).astype(np.float32)
    for number in range(60):
        x[number, :, 4 + number % 9 :] = np.nan
    return from_arrays(x, np.arange(60) % 2)
