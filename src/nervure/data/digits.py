"""The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn: nothing to download."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nervure.data.contents import Contents

__all__ = ["read"]


def read() -> Contents:
    """(1797, 1, 8, 8) u8 in 0 ... 16, ten classes; it has no settings of its own.

    >>> read().x.shape
    (1797, 1, 8, 8)
    """
    spec = find_spec("sklearn")  # read where it lies, for importing the package is slow
    assert spec is not None and spec.submodule_search_locations  # scikit-learn is a dependency
    with gzip.open(Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz", "rt") as table:
        rows = np.loadtxt(table, delimiter=",")
    return Contents(
        x=rows[:, :64].reshape(-1, 1, 8, 8).astype(np.uint8),
        y=rows[:, 64].astype(np.int64),
        kind="image",
        layout="chw",
        scale=1 / 16,
        names=[str(digit) for digit in range(10)],
        where="digits",
    )
