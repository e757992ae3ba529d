from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nervure.data import Augmentation, Loader, batches, from_arrays, permutation
from nervure.errors import InputError

CHANGE = Augmentation(shift=0.1, rotate=20, flip=0.5, brightness=0.2, saturation=0.3, noise=0.1)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and torch.equal(a, b))


def test_unshuffled_batches_are_the_split(waves):
    parts = list(batches(waves, "train", 16))
    np.testing.assert_array_equal(torch.cat([part.index for part in parts]), waves.splits["train"])
    same(parts[1], waves.batch(waves.splits["train"][16:32]))


def test_shuffled_batches_follow_the_permutation(images):
    train = images.splits["train"]
    order = permutation(len(train), 7, 3)
    for k, part in enumerate(batches(images, "train", 10, seed=7, epoch=3, shuffle=True)):
        same(part, images.batch(train[order[10 * k : 10 * k + 10]]))


def test_epochs_and_seeds_differ():
    orders = [permutation(50, seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("settings", [{"workers": 3}, {"cache": False}, {"cache": False, "workers": 2}])
def test_workers_and_cache_change_no_byte(images, settings):
    plain = list(Loader(images, "train", 8, seed=1, shuffle=True, augment=CHANGE).epoch(2))
    other = list(Loader(images, "train", 8, seed=1, shuffle=True, augment=CHANGE, **settings).epoch(2))
    assert len(plain) == len(other) == 8
    for one, two in zip(plain, other, strict=True):
        same(one, two)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 3))
def test_ranks_part_each_global_batch(size, world, start):
    ds = from_arrays(np.random.default_rng(0).random((47, 3)), np.arange(47) % 2)
    whole = list(batches(ds, "train", size, seed=2, shuffle=True, start=start))
    ranks = [
        list(batches(ds, "train", size, seed=2, shuffle=True, start=start, rank=rank, world=world))
        for rank in range(world)
    ]
    assert {len(parts) for parts in ranks} == {len(whole)}
    for k, batch in enumerate(whole):
        for rank in range(world):
            same(ranks[rank][k], type(batch)(*(None if part is None else part[rank::world] for part in batch)))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_augmentation_does_not_depend_on_the_batch(images, size):
    one = {}
    for part in batches(images, "train", size, seed=3, epoch=1, shuffle=True, augment=CHANGE):
        one |= dict(zip(part.index.tolist(), part.x, strict=True))
    for part in batches(images, "train", 5, seed=3, epoch=1, augment=CHANGE, rank=1, world=2):
        for place, x in zip(part.index.tolist(), part.x, strict=True):
            assert torch.equal(one[place], x)


def test_start_skips_without_preparing(images, monkeypatch):
    asked = []
    plain = type(images).batch
    monkeypatch.setattr(type(images), "batch", lambda ds, at: (asked.append(len(at)), plain(ds, at))[1])
    rest = list(Loader(images, "train", 10, cache=False, shuffle=True).epoch(0, start=4))
    assert asked == [len(part.x) for part in rest]
    whole = list(Loader(images, "train", 10, shuffle=True).epoch(0))
    for one, two in zip(rest, whole[4:], strict=True):
        same(one, two)


def test_lengths_and_counts(images):
    loader = Loader(images, "train", 10, rank=1, world=2)
    assert (len(loader), [loader.count(k) for k in range(8)]) == (7, [10] * 6 + [3] + [0])
    assert sum(len(part.x) for part in loader.epoch(0)) == 31


def test_an_empty_share_is_an_empty_batch(images):
    last = list(batches(images, "train", 31, rank=3, world=4, augment=CHANGE, shuffle=True))[-1]
    assert (last.x.shape, last.index.shape) == ((0, 3, 8, 10), (0,))


def test_what_a_consumer_does_to_a_batch_stays_there(images):
    loader = Loader(images, "train", 10)
    first = next(loader.epoch(0)).x.clone()
    next(loader.epoch(0)).x.zero_()
    assert torch.equal(next(loader.epoch(0)).x, first)


def test_errors_in_threads_reach_the_consumer(images, monkeypatch):
    def fail(ds, at):
        raise OSError("disk gone")

    loader = Loader(images, "train", 10, cache=False, workers=2)
    monkeypatch.setattr(type(images), "batch", fail)
    with pytest.raises(OSError, match="disk gone"):
        list(loader.epoch(0))


def test_stopping_early_ends_the_threads_and_bounds_the_work(images, monkeypatch):
    asked = []
    plain = type(images).batch
    monkeypatch.setattr(type(images), "batch", lambda ds, at: (asked.append(1), plain(ds, at))[1])
    before = threading.active_count()
    loader = Loader(images, "train", 2, cache=False, workers=2)
    stream = loader.epoch(0)
    next(stream)
    time.sleep(0.05)
    assert len(asked) <= 5
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_no_global_generator_is_touched(images):
    state = torch.get_rng_state()
    list(batches(images, "train", 8, shuffle=True, augment=CHANGE, workers=2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("bad", [{"size": 0}, {"rank": 2, "world": 2}, {"workers": -1}])
def test_senseless_numbers_are_refused(images, bad):
    with pytest.raises(InputError, match="give sensible numbers"):
        Loader(images, "train", **({"size": 4} | bad))


def test_unfit_augmentation_is_refused_at_once(waves):
    with pytest.raises(InputError, match="'rotate' is not for series data"):
        Loader(waves, "train", 4, augment=Augmentation(rotate=5))


def test_a_mapped_dataset_gives_the_same(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    mapped = from_arrays(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(40) % 2)
    held = from_arrays(x, np.arange(40) % 2)
    assert mapped.fingerprint == held.fingerprint
    for one, two in zip(batches(mapped, "train", 9), Loader(held, "train", 9).epoch(0), strict=True):
        same(one, two)
