from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from nervure.data import Augmentation, Batch, Preprocessing, from_arrays
from nervure.errors import InputError

ALL = {
    "shift": 0.1, "rotate": 15, "scale": 0.1, "crop": 0.1, "flip": 0.5, "brightness": 0.2, "contrast": 0.2,
    "saturation": 0.2, "hue": 0.1, "noise": 0.05,
}  # fmt: skip


def change(ds, augmentation, at=None, epoch=0, seed=0):
    batch = ds.batch(ds.splits["train"] if at is None else at)
    return batch, augmentation(batch, seed=seed, epoch=epoch, preprocessing=ds.preprocessing)


@pytest.mark.parametrize("name", list(ALL))
def test_each_change_changes_and_depends_on_seed_and_epoch(images, name):
    one = Augmentation(**{name: ALL[name]})
    batch, first = change(images, one)
    before = batch.x.clone()
    assert not torch.equal(first.x, batch.x)
    assert torch.equal(change(images, one)[1].x, first.x)
    assert not torch.equal(change(images, one, epoch=1)[1].x, first.x)
    assert not torch.equal(change(images, one, seed=1)[1].x, first.x)
    assert torch.equal(batch.x, before)
    assert first.y is batch.y
    assert first.index is batch.index
    assert first.x.dtype == torch.float32


def test_a_sample_is_changed_alike_alone_and_in_any_batch(images):
    one = Augmentation(**ALL)
    at = images.splits["train"]
    _, whole = change(images, one)
    _, turned = change(images, one, at[::-1].copy())
    assert torch.equal(turned.x.flip(0), whole.x)
    for place in (0, 17, 62):
        assert torch.equal(change(images, one, at[place : place + 1])[1].x[0], whole.x[place])


def test_images_stay_within_their_range(images):
    _, found = change(images, Augmentation(**ALL))
    stored = images.preprocessing.invert(found.x)
    assert stored.min() > -1e-3
    assert stored.max() < 255.001


def test_flip_and_crop_read_whole_pixels():
    x = np.random.default_rng(0).integers(1, 256, (200, 1, 8, 8), dtype=np.uint8)
    ds = from_arrays(x, validation=0, test=0)
    batch, found = change(ds, Augmentation(flip=0.5))
    flipped = [bool(torch.allclose(new, old.flip(-1), atol=1e-4)) for new, old in zip(found.x, batch.x, strict=True)]
    kept = [bool(torch.allclose(new, old, atol=1e-4)) for new, old in zip(found.x, batch.x, strict=True)]
    assert all(a or b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130
    _, found = change(ds, Augmentation(crop=0.25))
    stored = ds.preprocessing.invert(found.x)
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    seen = set()
    for number in range(200):
        match = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.abs(padded[number, :, i : i + 8, j : j + 8] - stored[number].numpy()).max() < 0.01
        ]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 25


def test_outside_is_stored_zero(images):
    _, found = change(images, Augmentation(shift=0.5))
    stored = images.preprocessing.invert(found.x)
    assert (stored.abs().amax(1) < 1e-3).any(dim=(1, 2)).float().mean() > 0.8


def test_noise_has_its_size():
    ds = from_arrays(np.full((50, 1, 20, 20), 0.5, np.float32), standardize=False)
    batch, found = change(ds, Augmentation(noise=0.1))
    assert abs(float((found.x - batch.x).std()) - 0.1) < 0.002


def test_brightness_and_contrast_factors():
    ds = from_arrays(np.full((400, 1, 4, 4), 0.5, np.float32), standardize=False)
    batch, found = change(ds, Augmentation(brightness=0.4))
    factor = (found.x / batch.x)[:, 0, 0, 0]
    assert 0.6 <= factor.min() < 0.62
    assert 1.38 < factor.max() <= 1.4


@pytest.mark.parametrize(
    ("standardize", "middle"), [("unit", 0.5), ("each-min-max", 0.5), ("min-max", 0.5), ("standard", 0.0)]
)
def test_contrast_turns_about_the_middle(standardize, middle):
    """What lies there stays, and another value goes from it or to it by the factor."""
    shift = 0 if standardize == "unit" else 3
    x = np.tile(np.linspace(0, 1, 5) + shift, (400, 1, 4, 1))
    ds = from_arrays(x, standardize=standardize, kind="image")
    batch, found = change(ds, Augmentation(contrast=0.4))
    torch.testing.assert_close(found.x[..., 2], torch.full_like(found.x[..., 2], middle), atol=1e-5, rtol=0)
    factor = (found.x - middle)[..., 1] / (batch.x - middle)[..., 1]
    assert 0.6 <= factor.min() < 0.62
    assert 1.38 < factor.max() <= 1.4


class TestSeries:
    @pytest.mark.parametrize("settings", [{"jitter": 0.1}, {"scale": 0.3}, {"time_warp": 0.5}, {"crop": 0.3}])
    def test_changes_only_where_there_are_values(self, waves, settings):
        batch, found = change(waves, Augmentation(**settings))
        assert found.mask is batch.mask
        assert (found.x[~batch.mask[:, None].expand_as(found.x)] == 0).all()
        assert not torch.equal(found.x, batch.x)
        _, other = change(waves, Augmentation(**settings), waves.splits["train"][:1])
        assert torch.equal(other.x[0], found.x[0])

    def test_warp_and_crop_stay_within_the_values(self, waves):
        batch, found = change(waves, Augmentation(time_warp=0.8, crop=0.5))
        for new, old, mask in zip(found.x, batch.x, batch.mask, strict=True):
            assert (new[:, mask].amax(1) <= old[:, mask].amax(1) + 1e-6).all()
            assert (new[:, mask].amin(1) >= old[:, mask].amin(1) - 1e-6).all()

    def test_warp_keeps_both_ends(self, waves):
        batch, found = change(waves, Augmentation(time_warp=0.8))
        last = batch.mask.sum(1) - 1
        rows = torch.arange(len(last))
        torch.testing.assert_close(found.x[:, :, 0], batch.x[:, :, 0])
        torch.testing.assert_close(found.x[rows, :, last], batch.x[rows, :, last], atol=1e-4, rtol=1e-4)

    def test_scale_is_one_factor_a_sample(self, waves):
        batch, found = change(waves, Augmentation(scale=0.5))
        factor = torch.where(batch.x == 0, torch.nan, found.x / batch.x)
        spread = factor.flatten(1).nanmedian(1).values[:, None] - factor.flatten(1)
        assert spread.abs().nan_to_num().max() < 1e-5
        assert factor.nan_to_num(1).min() >= 1 / 1.5 - 1e-6
        assert factor.nan_to_num(1).max() <= 1.5


def test_tables_take_jitter():
    ds = from_arrays(np.random.default_rng(0).random((50, 6)))
    batch, found = change(ds, Augmentation(jitter=0.2))
    assert 0.15 < float((found.x - batch.x).std()) < 0.25


def test_json_round_trip_holds_what_differs():
    one = Augmentation(shift=0.1, rotate=10, border="border")
    assert one.to_json() == {"shift": 0.1, "rotate": 10.0, "border": "border"}
    assert Augmentation.from_json(one.to_json()) == one
    assert hash(one) == hash(Augmentation.from_json(one.to_json()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shfit": 0.1}, "unknown augmentation 'shfit'; did you mean 'shift'"),
        ({"shift": -0.1}, "shift = -0.1; give a number from 0 to 1"),
        ({"hue": 0.6}, "hue = 0.6"),
        ({"noise": float("nan")}, "noise = nan"),
        ({"flip": True}, "flip = True"),
        ({"border": "wrap"}, "border = 'wrap'; give one of zeros, border, reflection"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        Augmentation.from_json(settings)


def test_grey_images_have_no_hue():
    with pytest.raises(InputError, match="need 3 channels, and the images have 1"):
        Augmentation(hue=0.1).check("image", (1, 8, 8))
    with pytest.raises(InputError, match="'shift' is not for table data"):
        Augmentation(shift=0.1).check("table", (8,))


def test_a_batch_is_at_least_five_times_faster_than_one_at_a_time():
    one = Augmentation(**ALL)
    x = torch.rand((64, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    batch = Batch(x, None, torch.arange(64))
    singles = [Batch(x[i : i + 1], None, torch.tensor([i])) for i in range(64)]
    steps = {"seed": 0, "epoch": 0, "preprocessing": Preprocessing()}
    times: dict[str, list[float]] = {"whole": [], "single": []}
    for _ in range(5):
        for name, parts in (("whole", [batch]), ("single", singles)):
            start = time.perf_counter()
            for part in parts:
                one(part, **steps)
            times[name].append(time.perf_counter() - start)
    assert np.median(times["single"]) > 5 * np.median(times["whole"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_draws_the_same(images, waves):
    for ds, one in (
        (images, Augmentation(**ALL)),
        (waves, Augmentation(jitter=0.1, time_warp=0.5, crop=0.3)),
    ):
        batch, found = change(ds, one)
        there = one(batch.to("cuda"), seed=0, epoch=0, preprocessing=ds.preprocessing)
        assert there.x.device.type == "cuda"
        torch.testing.assert_close(there.x.cpu(), found.x, atol=2e-3, rtol=1e-3)


class TestTurn:
    square = from_arrays(
        np.random.default_rng(0).integers(0, 256, (400, 1, 6, 6), dtype=np.uint8), test=0, validation=0
    )

    def test_by_right_angles_alone_and_as_often_as_asked(self):
        batch, found = change(self.square, Augmentation(turn=0.6))
        turns = [
            [count for count in range(4) if torch.allclose(new, old.rot90(count, (1, 2)), atol=1e-5)]
            for new, old in zip(found.x, batch.x, strict=True)
        ]
        assert all(len(one) == 1 for one in turns)
        often = np.bincount([one[0] for one in turns]) / 400
        np.testing.assert_allclose(often, [0.4, 0.2, 0.2, 0.2], atol=0.07)

    def test_leaves_other_draws_alone(self):
        _, plain = change(self.square, Augmentation(flip=0.5))
        _, both = change(self.square, Augmentation(flip=0.5, turn=1e-9))
        assert torch.equal(plain.x, both.x)

    def test_needs_square_images(self):
        with pytest.raises(InputError, match="turn needs square images, and these are 8 x 10"):
            Augmentation(turn=1).check("image", (3, 8, 10))


class TestRanges:
    """What was brought to the range from 0 to 1 stays there."""

    @pytest.mark.parametrize("standardize", ["each-min-max", "min-max", "unit"])
    @pytest.mark.parametrize("dtype", ["u1", "f4"])
    def test_images_keep_to_it(self, standardize, dtype):
        x = np.random.default_rng(0).integers(60, 200, (40, 3, 8, 8)).astype(dtype)
        ds = from_arrays(x / 255 if dtype == "f4" else x, standardize=standardize, test=0, validation=0)
        strong = Augmentation(**ALL | {"brightness": 0.9, "contrast": 0.9, "noise": 0.3, "turn": 0.5, "shift": 0.4})
        found = change(ds, strong)[1].x
        if (standardize, dtype) != ("unit", "f4"):
            assert (float(found.min()), float(found.max())) == (0.0, 1.0)
        assert found.isfinite().all()

    def test_each_sample_is_padded_with_its_darkest(self):
        ds = from_arrays(np.random.default_rng(0).random((40, 1, 8, 8)) + 3, standardize="each-min-max")
        assert (change(ds, Augmentation(shift=0.5))[1].x == 0).flatten(1).sum(1).gt(1).float().mean() > 0.8


def test_another_stream_draws_apart(images):
    one = Augmentation(**ALL)
    batch, first = change(images, one)
    second = one(batch, seed=0, epoch=0, preprocessing=images.preprocessing, stream=1)
    again = one(batch, seed=0, epoch=0, preprocessing=images.preprocessing, stream=1)
    assert torch.equal(second.x, again.x)
    assert (first.x != second.x).flatten(1).any(1).all()
