"""Turn archives that hold their images as JPEG or WebP mosaics into plain ``.npz``, once.

    python benchmarks/unpack.py DATA_DIR CACHE_DIR

Each archive of DATA_DIR with members such as ``x_train_jpg0`` is written to CACHE_DIR under the same name,
with ``x_train`` and the like as (n, side, side, 3) bytes, uncompressed, so that it is mapped and not read.
What lies there already is left as it is.
"""

import argparse
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDES = {"cifar10": 32, "cifar100": 32, "coil100_64": 64, "imagenette64": 64}
MOSAIC = re.compile(r"(?P<name>.+)_(jpg|webp)(?P<number>\d*)")


def tiles(encoded: np.ndarray, side: int) -> np.ndarray:
    """(n, side, side, 3) images of one encoded mosaic, row by row."""
    with Image.open(io.BytesIO(encoded.tobytes())) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    down, across = pixels.shape[0] // side, pixels.shape[1] // side
    return pixels.reshape(down, side, across, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)


def unpack(path: Path, side: int) -> dict[str, np.ndarray]:
    """All arrays of an archive, mosaics as images."""
    arrays: dict[str, np.ndarray] = {}
    pieces: dict[str, list[tuple[int, str]]] = {}
    with np.load(path, allow_pickle=False) as archive:
        for key in archive.files:
            found = MOSAIC.fullmatch(key)
            if found:
                pieces.setdefault(found["name"], []).append((int(found["number"] or 0), key))
            else:
                arrays[key] = archive[key]
        for name, keys in pieces.items():
            arrays[name] = np.concatenate([tiles(archive[key], side) for _, key in sorted(keys)])
    return arrays


def write(target: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.stem, delete=False) as file:
        try:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("cache_dir", type=Path)
    given = parser.parse_args()
    if not given.data_dir.is_dir():
        print(f"{given.data_dir}: no such folder", file=sys.stderr)
        return 2
    given.cache_dir.mkdir(parents=True, exist_ok=True)
    for stem, side in SIDES.items():
        source, target = given.data_dir / f"{stem}.npz", given.cache_dir / f"{stem}.npz"
        if target.exists():
            print(f"{target}: is there already, left as it is")
        elif not source.exists():
            print(f"{source}: not there, skipped")
        else:
            arrays = unpack(source, side)
            write(target, arrays)
            shapes = ", ".join(f"{key} {value.shape}" for key, value in arrays.items() if key.startswith("x"))
            print(f"{target}: {shapes}, {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
