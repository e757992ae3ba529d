"""DCEC: IDEC with a convolutional auto-encoder (Guo et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nervure.cluster.methods.idec import IDEC

__all__ = ["DCEC"]


@dataclass(eq=False, repr=False)
class DCEC(IDEC):
    """Deep convolutional embedded clustering (Guo, Liu, Zhu and Yin 2017; spec deepcluster, S6).

    As :class:`nervure.cluster.IDEC`, with the same parameters, but that the auto-encoder is chosen by the data:
    convolutional for images and series, dense for tables.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.concatenate([np.random.default_rng(0).normal(at, 0.3, size=(40, 3)) for at in (0, 5)])
    >>> model = DCEC(2, epochs=6, warmup=3, random_state=0).fit(x)
    >>> sorted(np.bincount(model.labels_).tolist())
    [40, 40]
    """

    dense: ClassVar[bool] = False
