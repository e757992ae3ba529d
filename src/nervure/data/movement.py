"""A diving bird's acceleration, made up: bouts of five behaviours with known borders.

A stand-in for recordings that cannot be had, of their size and form (spec deepcluster, S14 and S15): 25 points a
second in three axes, bouts of 200 to 600 points, dives (swim, descent, bottom, ascent) one to three in a row, then
a flight. Each behaviour has a posture, that is where gravity points, a stroke frequency, an amplitude and noise,
and each bout its own deviation from these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nervure.data.contents import Contents
from nervure.data.dataset import Indices
from nervure.data.windows import SPLITS, contents_of, slide, vedba, windows_of_folds
from nervure.errors import InputError

__all__ = ["BEHAVIOURS", "Movement", "movement", "read"]

RATE = 25
BEHAVIOURS = ("swim", "descent", "bottom", "ascent", "fly")
SWIM, DESCENT, BOTTOM, ASCENT, FLY = range(5)

_POSTURE = np.array([[0.0, 0.0, 1.0], [-0.75, 0.0, 0.66], [-0.4, 0.1, 0.9], [0.7, 0.0, 0.7], [0.15, 0.0, 0.98]])
_STROKE = np.array([1.2, 3.0, 2.0, 1.6, 5.0])
_AMPLITUDE = np.array([[0.08, 0.04, 0.08], [0.5, 0.2, 0.6], [0.3, 0.2, 0.4], [0.15, 0.1, 0.22], [0.7, 0.3, 0.9]])
_PHASE = np.array([0.0, 0.5, 0.25])  # heave and surge a quarter of a stroke apart
_NOISE = np.array([0.05, 0.10, 0.12, 0.06, 0.15])


class Movement(NamedTuple):
    """Acceleration (n, 3) float32 in units of gravity, and the behaviour of each point (n,)."""

    values: NDArray[np.float32]
    labels: Indices


def movement(n: int = 158_536, seed: int = 0, *, noise: float = 1.0) -> Movement:
    """``n`` points of one recording; ``noise`` is a factor on all that is random in a bout.

    >>> made = movement(1000, seed=1)
    >>> made.values.shape, [BEHAVIOURS[label] for label in dict.fromkeys(made.labels.tolist())][:3]
    ((1000, 3), ['swim', 'descent', 'bottom'])
    """
    if n < 1 or noise < 0:
        raise InputError(f"movement: n = {n}, noise = {noise}; give at least one point, and noise of 0 or more")
    rng = np.random.default_rng(seed)
    values, labels, made = [], [], 0
    while made < n:
        for kind in [SWIM, DESCENT, BOTTOM, ASCENT] * int(rng.integers(1, 4)) + [FLY]:
            bout = _bout(kind, int(rng.integers(200, 601)), noise, rng)
            values.append(bout)
            labels.append(np.full(len(bout), kind))
            made += len(bout)
    return Movement(np.concatenate(values)[:n].astype(np.float32), np.concatenate(labels)[:n].astype(np.int64))


def _bout(kind: int, length: int, noise: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(length, 3): posture, strokes with a harmonic, and noise."""
    time = np.arange(length)[:, None] / RATE
    posture = _POSTURE[kind] + noise * 0.12 * rng.standard_normal(3)
    sway = noise * 0.08 * np.sin(2 * np.pi * (rng.uniform(0.02, 0.15, 3) * time + rng.random(3)))
    pace = _STROKE[kind] * np.exp(noise * 0.15 * rng.standard_normal())
    size = _AMPLITUDE[kind] * np.exp(noise * 0.15 * rng.standard_normal())
    cycle = pace * time + rng.random() + _PHASE
    strokes = size * (np.sin(2 * np.pi * cycle) + 0.3 * np.sin(4 * np.pi * cycle))
    bout: NDArray[np.float64] = posture + sway + strokes + noise * _NOISE[kind] * rng.standard_normal((length, 3))
    return bout


def read(
    *,
    n: int = 158_536,
    generator_seed: int = 0,
    noise: float = 1.0,
    window: int = 30,
    stride: int = 15,
    vedba_length: int = 0,
    folds: int | None = None,
    fold: int = 0,
    drop_mixed: bool = False,
    validation: float = 0.1,
) -> Contents:
    """The source ``movement``: windows of three axes, or of VeDBA if its running mean has a length.

    Parameters
    ----------
    n : int
        Points of the recording, 25 a second.
    generator_seed : int
        Decides the recording; ``seed`` has no say.
    noise : float
        A factor on all that is random in a bout.
    window, stride : int
        Points of a window, and how far the next one begins.
    vedba_length : int
        Points of the running mean of :func:`nervure.data.vedba`, which then replaces the axes; 0 keeps these.
    folds : int, optional
        How many folds the points are split into before they are cut, class by class; without it splits are cut in
        order of time.
    fold : int
        With ``folds``, which of them is the test split.
    drop_mixed : bool
        Whether windows with points of several behaviours are left out; otherwise they have that of most points.
    validation : float
        With ``folds``, the share of the points outside the test fold that is held out for validation.

    Examples
    --------
    >>> read(n=3000).x.shape
    (199, 3, 30)
    """
    made = movement(n, generator_seed, noise=noise)
    values = vedba(made.values, vedba_length)[:, None] if vedba_length else made.values
    splits: dict[str, Indices] = {}
    if folds is None:
        found = slide(values, made.labels, length=window, stride=stride, drop_mixed=drop_mixed)
    else:
        found, splits = windows_of_folds(
            values, made.labels, length=window, stride=stride, folds=folds, fold=fold, validation=validation,
            drop_mixed=drop_mixed,
        )  # fmt: skip
        # A split that no window fits into stays empty: windows drawn for it would overlap those of training.
        splits = {name: splits.get(name, np.empty(0, np.int64)) for name in SPLITS}
    return contents_of(found, BEHAVIOURS, splits, window, stride, "movement")
