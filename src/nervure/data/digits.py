"""The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn: nothing to download."""

from __future__ import annotations

import numpy as np

from nervure.data.contents import Contents

__all__ = ["read"]


def read() -> Contents:
    """(1797, 1, 8, 8) u8 in 0 ... 16, ten classes.

    >>> read().x.shape
    (1797, 1, 8, 8)
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Contents(
        x=digits.images.astype(np.uint8)[:, None],
        y=digits.target.astype(np.int64),
        kind="image",
        layout="chw",
        scale=1 / 16,
        names=[str(digit) for digit in range(10)],
        where="digits",
    )
