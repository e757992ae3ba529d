from __future__ import annotations

import dataclasses
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


def test_what_is_not_kept_is_prepared_ahead(images):
    assert [Loader(images, "train", 8, cache=cache).workers for cache in (True, False)] == [0, 1]


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


COPY = Augmentation(rotate=15, shift=0.1, scale=0.2, contrast=0.3)


class TestCopies:
    def test_do_not_change_the_batch(self, images):
        plain = Loader(images, "train", 8, seed=1, shuffle=True, augment=CHANGE)
        more = Loader(images, "train", 8, seed=1, shuffle=True, augment=CHANGE, copies=COPY)
        for one, two in zip(plain.epoch(2), more.epoch(2), strict=True):
            assert one.copy is None
            same(one, two._replace(copy=None))
            assert two.copy.shape == two.x.shape

    def test_are_made_of_the_samples_as_they_came(self, images):
        """Not of the augmented ones, and drawn apart from these: the same change gives another picture."""
        with_both = next(Loader(images, "train", 30, augment=COPY, copies=COPY).epoch(1))
        alone = next(Loader(images, "train", 30, copies=COPY).epoch(1))
        assert torch.equal(with_both.copy, alone.copy)
        assert (with_both.copy != with_both.x).flatten(1).any(1).all()
        clean = next(Loader(images, "train", 30, augment=COPY, copies=Augmentation()).epoch(1))
        assert torch.equal(clean.copy, images.batch(images.splits["train"][:30]).x)

    @pytest.mark.parametrize("size", [1, 7, 64])
    @pytest.mark.parametrize("settings", [{}, {"cache": False}, {"workers": 2}, {"device": "cpu"}])
    def test_depend_on_seed_epoch_and_position_alone(self, images, size, settings):
        seen = {}
        for part in Loader(images, "train", size, seed=3, shuffle=True, copies=COPY, **settings).epoch(1):
            seen |= dict(zip(part.index.tolist(), part.copy, strict=True))
        for rank in range(2):
            for part in batches(images, "train", 5, seed=3, epoch=1, copies=COPY, rank=rank, world=2, start=2):
                assert all(torch.equal(seen[at], copy) for at, copy in zip(part.index.tolist(), part.copy, strict=True))
        for other in ({"seed": 4, "epoch": 1}, {"seed": 3, "epoch": 2}):
            part = next(batches(images, "train", 5, copies=COPY, **other))
            assert not torch.equal(seen[int(part.index[0])], part.copy[0])

    def test_of_series_keep_their_mask(self, waves):
        part = next(batches(waves, "train", 20, copies=Augmentation(jitter=0.2, time_warp=0.4)))
        assert (part.copy[~part.mask[:, None].expand_as(part.copy)] == 0).all()
        assert not torch.equal(part.copy, part.x)

    def test_of_an_empty_share(self, images):
        last = list(batches(images, "train", 31, rank=3, world=4, copies=COPY))[-1]
        assert last.copy.shape == last.x.shape == (0, 3, 8, 10)

    def test_a_stand_in_is_complete(self, images):
        found = Loader(images, "train", 8, copies=COPY, augment=CHANGE, device="cpu").stand_in()
        assert found.copy.shape == found.x.shape == (1, 3, 8, 10)
        assert Loader(images, "train", 8).stand_in().copy is None

    def test_a_stand_in_is_of_the_split(self, images):
        loader = Loader(dataclasses.replace(images, splits={"train": np.arange(5, 20)}), "train", 8)
        assert loader.stand_in().index.tolist() == [5]

    def test_unfit_ones_are_refused_at_once(self, waves):
        with pytest.raises(InputError, match="is not for series data"):
            Loader(waves, "train", 4, copies=COPY)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 47), st.integers(1, 3))
def test_drop_last_leaves_out_only_a_short_batch(size, world):
    ds = from_arrays(np.random.default_rng(0).random((47, 3)), validation=0, test=0)
    whole = Loader(ds, "train", size, shuffle=True)
    short = Loader(ds, "train", size, shuffle=True, drop_last=True, world=world)
    full = [part for part in whole.epoch(1) if len(part.x) == size]
    assert (len(short), short.total) == (len(full), len(full) * size)
    assert (whole.total, sum(map(whole.count, range(60)))) == (47, 47)
    assert sum(map(short.count, range(60))) == short.total
    for one, two in zip(full, short.epoch(1), strict=True):
        assert torch.equal(one.index[::world], two.index)


def test_a_batch_that_would_be_dropped_is_refused(images):
    with pytest.raises(InputError, match="a batch of 64 of 63 samples is dropped as the last; give a smaller one"):
        Loader(images, "train", 64, drop_last=True)
