"""Splits: training, validation and test, drawn class by class, the same for the same seed.

A split that the source gives is kept. What it does not give is cut from its training samples (or from all,
if it gives none): ``test`` and ``validation`` are shares of these. Every class, and the unknown ones among
themselves, is cut in the same proportion as far as whole samples allow, and keeps at least one sample for
training. Without classes the cut is plain random; windows in order of time are cut in that order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np

from nervure.data.contents import Array
from nervure.data.counter import order
from nervure.data.dataset import Indices, positions
from nervure.errors import InputError

__all__ = ["apportion", "make_splits", "named_splits"]

SPELLINGS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""How sources call each split, in small letters or capitals."""


def named_splits(names: Iterable[str], where: str) -> dict[str, str]:
    """Each split that one of these names stands for, with that name; two names for one split are refused.

    >>> named_splits(["Test", "notes", "Training"], "here")
    {'train': 'Training', 'test': 'Test'}
    """
    given = sorted(names)
    found = {split: [name for name in given if name.casefold() in known] for split, known in SPELLINGS.items()}
    for split, those in found.items():
        if len(those) > 1:
            raise InputError(f"{where}: {those[0]!r} and {those[1]!r} both name the {split} split; join them")
    return {split: those[0] for split, those in found.items() if those}


def make_splits(
    n: int,
    strata: Array | None,
    given: Mapping[str, Indices],
    *,
    validation: float,
    test: float,
    seed: int,
    gap: int | None,
    where: str,
) -> dict[str, Indices]:
    """Positions of ``"train"``, ``"validation"`` and ``"test"``, each sorted; empty ones are absent.

    Examples
    --------
    >>> splits = make_splits(10, None, {}, validation=0.1, test=0.2, seed=0, gap=None, where="ten")
    >>> {name: len(at) for name, at in splits.items()}
    {'train': 7, 'validation': 1, 'test': 2}
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise InputError(f"{name} = {share}; give a share from 0 to below 1")
    splits = {name: positions(at, n, f"{where}: split {name!r}") for name, at in given.items()}
    _check(splits, n, where)
    taken = np.zeros(n, dtype=bool)
    for name, at in splits.items():
        taken[at] = name != "train"
    pool = splits.get("train", np.flatnonzero(~taken))
    shares = {
        name: share for name, share in (("test", test), ("validation", validation)) if name not in splits and share > 0
    }
    if sum(shares.values()) >= 1:
        raise InputError(f"validation + test = {sum(shares.values()):g}; leave a share for training")
    if gap is not None:
        splits |= _in_time(pool, shares, gap)
    else:
        splits |= _drawn(pool, None if strata is None else strata[pool], shares, seed)
    wanted = ("train", "validation", "test")
    found = {name: np.sort(splits[name]) for name in wanted if name in splits and len(splits[name])}
    if "train" not in found:
        raise InputError(f"{where}: no sample is left for training; give smaller shares")
    return found


def apportion(sizes: Array, total: int) -> Indices:
    """How many to take of each group so that they add up: largest remainders, each group keeping one.

    >>> apportion(np.array([10, 5, 1]), 3).tolist()
    [2, 1, 0]
    """
    quota = sizes * (total / max(1, sizes.sum()))
    most = np.maximum(sizes - 1, 0)
    take = np.minimum(np.floor(quota).astype(np.int64), most)
    while take.sum() < min(total, most.sum()):
        lack = np.where(take < most, quota - take, -np.inf)
        take[int(np.argmax(lack))] += 1
    return cast(Indices, take)


def _drawn(pool: Indices, strata: Array | None, shares: Mapping[str, float], seed: int) -> dict[str, Indices]:
    groups = np.zeros(len(pool), dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    left = pool[order(len(pool), seed, 1)]
    group = groups[order(len(pool), seed, 1)]
    found: dict[str, Indices] = {}
    for name, share in shares.items():
        total = max(1, round(share * len(pool)))
        take = apportion(np.bincount(group, minlength=int(groups.max(initial=0)) + 1), total)
        rank = _rank_within(group)
        mine = rank < take[group]
        found[name] = left[mine]
        left, group = left[~mine], group[~mine]
    return found | {"train": left}


def _rank_within(group: Array) -> Indices:
    """For each member, how many of its group come before it."""
    by_group = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(group), dtype=np.int64)
    rank[by_group] = np.arange(len(group)) - starts
    return rank


def _in_time(pool: Indices, shares: Mapping[str, float], gap: int) -> dict[str, Indices]:
    end = len(pool)
    found: dict[str, Indices] = {}
    for name, share in shares.items():
        start = end - max(1, round(share * len(pool)))
        found[name] = pool[max(0, start) : end]
        end = max(0, start - gap)
    return found | {"train": pool[:end]}


def _check(splits: Mapping[str, Indices], n: int, where: str) -> None:
    unknown = set(splits) - {"train", "validation", "test"}
    if unknown:
        raise InputError(f"{where}: unknown split {min(unknown)!r}; there are: train, validation, test")
    together = np.concatenate([*splits.values(), np.empty(0, dtype=np.int64)])
    if len(together) and (together.min() < 0 or together.max() >= n):
        raise InputError(f"{where}: a split names a sample outside 0 to {n - 1}")
    if len(np.unique(together)) != len(together):
        raise InputError(f"{where}: a sample is in two splits, or twice in one")
