"""Augmentation: seeded random changes to batches, as data.

Every random number depends on (seed, epoch, position of the sample in the data set) alone, so a sample is
changed the same way in any batch, on any rank, by any worker. Batches are changed on the device they are on,
whole, without a loop over samples.

Images are changed on their scaled values (``stored * scale``, 0 to 1 for bytes), since a mean of zero has no
meaning for brightness: standardisation is undone before and done again after. Places from outside a picture
are 0 there, black. Data stored as whole numbers is kept within 0 to 1, and so are pictures brought to that range
each by itself, which are changed after that. Series and tables are changed as the network reads them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from nervure.data import colour, counter, geometry, warp
from nervure.data.dataset import Batch, Kind, Preprocessing
from nervure.data.geometry import Border
from nervure.errors import InputError
from nervure.registry import nearest

__all__ = ["Augmentation"]

_IMAGE = ("shift", "rotate", "scale", "crop", "flip", "brightness", "contrast", "saturation", "hue", "noise",
          "turn")  # fmt: skip
_SERIES = ("jitter", "scale", "time_warp", "crop")
_TABLE = ("jitter",)
_ALLOWED: dict[Kind, tuple[str, ...]] = {"image": _IMAGE, "series": _SERIES, "table": _TABLE}
_MOST = {
    "shift": 1.0, "rotate": 180.0, "crop": 0.9, "flip": 1.0, "brightness": 1.0, "contrast": 1.0,
    "saturation": 1.0, "hue": 0.5, "time_warp": 0.99, "turn": 1.0,
}  # fmt: skip
_COLUMNS = ("shift_down", "shift_across", "rotate", "scale", "crop_down", "crop_across", "flip",
            "brightness", "contrast", "saturation", "hue", "window", "bend_1", "bend_2", "turn",
            "quarters")  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """How far each kind of change may go; 0 is off. Labels and masks are never touched.

    Parameters
    ----------
    shift : float
        Images: up to this share of the side, each way.
    rotate : float
        Images: up to this many degrees, each way.
    scale : float
        Images: size times a factor from 1/(1+s) to 1+s. Series: values times such a factor, one a sample.
    crop : float
        Images: padded by this share of the side and cropped at random, in whole pixels. Series: a random
        window of at least 1 - crop of the length, stretched to the whole length.
    flip : float
        Images: chance of exchanging left and right.
    turn : float
        Square images: chance of being turned by one, two or three right angles, exactly.
    brightness, contrast, saturation : float
        Images: times a factor from 1-b to 1+b; contrast about the mean of the training data, or the
        middle of its range, saturation about the pixel's own grey.
    hue : float
        Images: chroma turned by up to this share of a full turn (in YIQ, where that is linear).
    noise : float
        Images: standard deviation of Gaussian noise on scaled values.
    jitter : float
        Series and tables: standard deviation of Gaussian noise on what the network reads; for standardised data in
        standard deviations of a channel.
    time_warp : float
        Series: time bent smoothly, its pace from 1-w to 1+w, both ends fixed.
    border : {"zeros", "border", "reflection"}
        Images: what lies outside.

    Examples
    --------
    >>> change = Augmentation(shift=0.1, rotate=10)
    >>> Augmentation.from_json(change.to_json()) == change, bool(Augmentation())
    (True, False)
    """

    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    crop: float = 0.0
    flip: float = 0.0
    turn: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    noise: float = 0.0
    jitter: float = 0.0
    time_warp: float = 0.0
    border: Border = "zeros"

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if name == "border":
                if value not in get_args(Border):
                    raise InputError(f"augmentation: border = {value!r}; give one of {', '.join(get_args(Border))}")
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST.get(name, 1e6):
                raise InputError(f"augmentation: {name} = {value!r}; give a number from 0 to {_MOST.get(name, 1e6):g}")
            object.__setattr__(self, name, float(value))

    def __bool__(self) -> bool:
        return bool(self._wanted())

    def _wanted(self) -> tuple[str, ...]:
        return tuple(one.name for one in dataclasses.fields(self) if one.name != "border" and getattr(self, one.name))

    def to_json(self) -> dict[str, object]:
        """What differs from the defaults, as plain JSON data."""
        return {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if getattr(self, one.name) != one.default
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Augmentation:
        """From what :meth:`to_json` gave, or what a person wrote."""
        known = tuple(one.name for one in dataclasses.fields(cls))
        for name in data:
            if name not in known:
                raise InputError(f"unknown augmentation {name!r}; {nearest(name, known)}")
        return cls(**data)

    def check(self, kind: Kind, in_shape: tuple[int, ...]) -> None:
        """Refuse changes that samples of this kind and shape cannot undergo."""
        for name in self._wanted():
            if name not in _ALLOWED[kind]:
                raise InputError(
                    f"augmentation {name!r} is not for {kind} data, which takes {', '.join(_ALLOWED[kind])}"
                )
        if kind == "image" and self.turn and in_shape[1] != in_shape[2]:
            raise InputError(f"turn needs square images, and these are {in_shape[1]} x {in_shape[2]}")
        if kind == "image" and (self.saturation or self.hue) and in_shape[0] != 3:
            raise InputError(f"saturation and hue need 3 channels, and the images have {in_shape[0]}")

    def __call__(self, batch: Batch, *, seed: int, epoch: int, preprocessing: Preprocessing, stream: int = 0) -> Batch:
        """A changed batch; the one given stays as it is. Another ``stream`` draws independently of the first."""
        if not self or not len(batch.x):
            return batch
        kind: Kind = {4: "image", 3: "series", 2: "table"}[batch.x.ndim]  # type: ignore[assignment]
        self.check(kind, tuple(batch.x.shape[1:]))
        further = (stream,) if stream else ()
        draws = counter.uniform(batch.index, counter.key(seed, epoch, 2, *further), len(_COLUMNS))
        draw = dict(zip(_COLUMNS, draws.unbind(1), strict=True))
        noise_key = counter.key(seed, epoch, 3, *further)
        if kind == "image":
            x = self._image(batch.x, batch.index, draw, noise_key, preprocessing)
        else:
            x = self._series(batch.x, draw, batch.mask) if kind == "series" else batch.x
            x = self._jitter(x, batch.index, noise_key, batch.mask)
        return batch._replace(x=x)

    def _image(
        self,
        x: Tensor,
        index: Tensor,
        draw: Mapping[str, Tensor],
        noise_key: int,
        preprocessing: Preprocessing,
    ) -> Tensor:
        shape = (1, -1, 1, 1)
        mean, std = (x.new_tensor(part).view(shape) for part in (preprocessing.mean, preprocessing.std))
        x = x * std + mean if preprocessing.mean else x
        if self.turn:
            quarters = 1 + (3 * draw["quarters"]).floor()
            x = geometry.turn(x, torch.where(draw["turn"] < self.turn, quarters, 0.0))
        if self.shift or self.rotate or self.scale or self.crop or self.flip:
            x = self._move(x, draw)
        if self.brightness or self.contrast or self.saturation or self.hue:
            x = self._recolour(x, draw, preprocessing)
        if self.noise:
            x = x + self.noise * counter.normal(index, noise_key, x[0].numel()).view_as(x)
        if preprocessing.scale != 1.0 or preprocessing.each:
            x = x.clamp(0, 1)
        x = (x - mean) / std if preprocessing.mean else x
        return x.clamp(0, 1) if preprocessing.clip else x

    def _move(self, x: Tensor, draw: Mapping[str, Tensor]) -> Tensor:
        height, width = x.shape[-2:]
        down, across = (
            self.shift * side * _both_ways(draw[f"shift_{way}"]) + _whole(self.crop * side, draw[f"crop_{way}"])
            for side, way in ((height, "down"), (width, "across"))
        )
        flip = torch.where(draw["flip"] < self.flip, -1.0, 1.0)
        angle = math.radians(self.rotate) * _both_ways(draw["rotate"])
        matrix, offset = geometry.backward_map(angle, _factor(self.scale, draw["scale"]), flip, down, across)
        return geometry.move(x, matrix, offset, self.border)

    def _recolour(self, x: Tensor, draw: Mapping[str, Tensor], preprocessing: Preprocessing) -> Tensor:
        matrix = None
        if self.saturation or self.hue:
            saturate = colour.saturation_matrix(1 + self.saturation * _both_ways(draw["saturation"]))
            turn = colour.hue_matrix(self.hue * _both_ways(draw["hue"]))
            matrix = (saturate[:, :, :, None] * turn[:, None]).sum(2)
        middle = preprocessing.mean or (0.5,)
        if preprocessing.clip:  # mean and std are the lower end and the width of a range
            middle = tuple(low + width / 2 for low, width in zip(middle, preprocessing.std, strict=True))
        weights = colour.LUMA if len(middle) == 3 else (1 / len(middle),) * len(middle)
        pivot = sum(weight * value for weight, value in zip(weights, middle, strict=True))
        contrast, brightness = (
            1 + amount * _both_ways(draw[name])
            for amount, name in ((self.contrast, "contrast"), (self.brightness, "brightness"))
        )
        return colour.apply(x, matrix, contrast, brightness, pivot)

    def _series(self, x: Tensor, draw: Mapping[str, Tensor], mask: Tensor | None) -> Tensor:
        if self.time_warp or self.crop:
            steps = x.shape[-1]
            lengths = mask.sum(1) if mask is not None else torch.full((len(x),), steps, device=x.device)
            bends = self.time_warp / 2 * _both_ways(torch.stack([draw["bend_1"], draw["bend_2"]], dim=1))
            at = warp.source_steps(lengths, steps, 1 - self.crop * draw["window"], draw["crop_down"], bends)
            x = warp.resample(x, at)
        return x * _factor(self.scale, draw["scale"])[:, None, None] if self.scale else x

    def _jitter(self, x: Tensor, index: Tensor, noise_key: int, mask: Tensor | None) -> Tensor:
        if not self.jitter:
            return x
        x = x + self.jitter * counter.normal(index, noise_key, x[0].numel()).view_as(x)
        return x if mask is None else x * mask[:, None]


def _both_ways(draw: Tensor) -> Tensor:
    """From [0, 1) to [-1, 1)."""
    return 2 * draw - 1


def _factor(amount: float, draw: Tensor) -> Tensor:
    """Factors from 1/(1 + amount) to 1 + amount, as often above as below 1."""
    return (math.log1p(amount) * _both_ways(draw)).exp()


def _whole(most: float, draw: Tensor) -> Tensor:
    """Whole numbers from -m to m, each as often, where m is ``most`` rounded."""
    span = 2 * round(most) + 1
    return (draw * span).floor() - round(most)
