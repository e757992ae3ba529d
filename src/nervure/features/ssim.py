"""SSIM of filters: how alike the weights of two filters are, each seen as a small image.

Spec ssim-kmeans-pruning, 2.1, 2.2, 6.3 and 6.4, after Al Dallal (2021) and Wang et al. (2004). Section 7.5's other
similarities have the same shape.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nervure.errors import InputError
from nervure.features.gram import Cosine, Gram, OneWindow, SquaredError

__all__ = [
    "Filters", "Layout", "Measure", "Mode", "Similarity", "ValueMap", "Windows", "flatten", "pairwise", "similarity",
]  # fmt: skip

Mode = Literal["window3", "global", "kernel"]
Layout = Literal["taps_x_channels", "stacked"]
ValueMap = Literal["raw", "minmax01"]
Similarity = Literal["ssim", "uqi", "mse", "cosine"]

K1, K2 = 0.01, 0.03
_NAMES = {"ssim": "SSIM", "uqi": "UQI", "mse": "1 - squared error (scaled)", "cosine": "cosine"}
VANISHING = 1e-4  # of the largest weight: a range whose constants tell only in windows that are flat, or zero
SIDE = 3
TEMPORARY = {"cpu": 1 << 18, "cuda": 1 << 24}  # elements of one pairwise temporary: what a cache holds
CACHED = 1 << 29  # bytes of windows kept between calls
PART = 1 << 22  # window values, over all filters, in one part
GROUPS = 128  # means compared at a time


@dataclass(frozen=True)
class Measure:
    """How filters are compared.

    Parameters
    ----------
    mode : str
        ``"window3"``: windows of 3 x 3 slide over the flattened filter, sample moments (as scikit-image does
        with ``win_size=3``). ``"kernel"``: one window an input channel, its kernel. ``"global"``: one window,
        the whole filter, population moments. A layer smaller than a window is compared by windows as large as
        it has; kernels of one value (linear layers, 1 x 1) are compared as a whole.
    layout : str
        How ``window3`` flattens a filter: see :func:`flatten`.
    data_range : str or float
        ``"layer_range"``: largest minus smallest weight of the layer. ``"legacy2"``: 2, which scikit-image
        once took for floats. Or a number. One value for all pairs.
    value_map : str
        ``"raw"``: weights as they are; a filter and its negative can then come out alike. ``"minmax01"``: the
        layer is mapped to [0, 1] first, which cures that.
    similarity : str
        ``"ssim"``. ``"uqi"``, the universal quality index: SSIM without its constants, so that ``data_range`` takes
        no part; equal means of 0 and two flat windows count as alike. ``"mse"``: 1 less twice the mean squared
        error, over the layer's largest. ``"cosine"``: of the angle between filters. These two compare whole
        filters and weights as they are, so that no other setting takes part. All are at most 1, for equal filters.

    Examples
    --------
    >>> Measure(mode="kernel", value_map="minmax01").data_range
    'layer_range'
    """

    mode: Mode = "window3"
    layout: Layout = "taps_x_channels"
    data_range: str | float = "layer_range"
    value_map: ValueMap = "raw"
    similarity: Similarity = "ssim"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("mode", self.mode, get_args(Mode)),
            ("layout", self.layout, get_args(Layout)),
            ("value_map", self.value_map, get_args(ValueMap)),
            ("similarity", self.similarity, get_args(Similarity)),
        ):
            if value not in known:
                raise InputError(f"SSIM: {name} = {value!r}; give one of {', '.join(known)}")
        named = isinstance(self.data_range, str)
        if self.data_range not in ("layer_range", "legacy2") if named else not float(self.data_range) > 0:
            raise InputError(f"SSIM: data_range = {self.data_range!r}; give layer_range, legacy2 or a positive number")

    @property
    def name(self) -> str:
        """What the similarity is called.

        >>> Measure(similarity="uqi").name
        'UQI'
        """
        return _NAMES[self.similarity]


class Windows(NamedTuple):
    """What SSIM needs of images: each window's deviations from its mean, and its moments.

    ``values`` (n, windows, size) are scaled so that their products sum to the covariance; ``mean`` and
    ``variance`` are (n, windows).
    """

    values: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, patches: Tensor, *, sample: bool) -> Windows:
        """From ``patches`` (n, windows, size), by sample or by population moments.

        >>> Windows.of(torch.tensor([[[1.0, 3.0]]]), sample=True).variance
        tensor([[2.]])
        """
        size = patches.shape[-1]
        mean = patches.mean(-1)
        scale = (size - 1 if sample else size) ** -0.5 if size > 1 else 1.0
        values = (patches - mean.unsqueeze(-1)) * scale
        return cls(values, mean, values.square().sum(-1))


Described = Windows | NDArray[np.float32]


def flatten(weight: Tensor, layout: Layout = "taps_x_channels") -> Tensor:
    """Each filter as one image, spec ssim-kmeans-pruning, 2.1.

    Parameters
    ----------
    weight : Tensor, (n, channels, *kernel)
        A linear layer's (n, inputs) has kernels of one value.
    layout : str
        ``"taps_x_channels"``: each kernel row-major in a column, columns in channel order.
        ``"stacked"``: kernels piled on top of each other.

    Returns
    -------
    Tensor, (n, height, width)

    Examples
    --------
    >>> flatten(torch.zeros(64, 3, 3, 3)).shape, flatten(torch.zeros(64, 16, 3, 3), "stacked").shape
    (torch.Size([64, 9, 3]), torch.Size([64, 48, 3]))
    """
    n, channels = weight.shape[:2]
    if layout == "stacked" and weight.ndim > 2:
        return weight.reshape(n, -1, weight.shape[-1])
    return weight.reshape(n, channels, -1).transpose(1, 2)


def similarity(x: Tensor, y: Tensor, data_range: float, mode: Literal["window3", "global"] = "window3") -> float:
    """SSIM of two images (height, width) of equal size, spec ssim-kmeans-pruning, 2.2.

    >>> x = torch.tensor([[0.5, 0.7, 0.2], [0.1, 0.3, 1.0], [0.9, 0.4, 0.6]])
    >>> y = torch.tensor([[0.3, 0.7, 0.8], [0.5, 0.2, 0.9], [0.1, 0.7, 0.1]])
    >>> round(similarity(x, y, data_range=1.0), 4)
    -0.0025
    """
    if x.shape != y.shape or x.ndim != 2:
        raise InputError(f"SSIM: images of {tuple(x.shape)} and {tuple(y.shape)}; give two of one size")
    both = torch.stack([x, y]).unsqueeze(1)
    grid = _grid(both, Measure(mode=mode, layout="stacked"))
    found = Windows.of(grid.reshape(2, grid.shape[1] * grid.shape[2], -1), sample=mode != "global")
    return float(_plain(found, found, data_range)[0, 1] / found.mean.shape[1])


def pairwise(weight: Tensor, measure: Measure | None = None, *, compiled: bool | None = None) -> Tensor:
    """SSIM of every two filters of a layer.

    Parameters
    ----------
    weight : Tensor, (n, channels, *kernel)
    measure : Measure, optional
    compiled : bool, optional
        Use the compiled kernel or plain torch; whichever serves otherwise. Both give the same to 1e-6.

    Returns
    -------
    Tensor, (n, n)
        float64, symmetric, 1 on the diagonal.

    Examples
    --------
    >>> filters = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> found = pairwise(filters)
    >>> found.shape, bool((found.diagonal() - 1).abs().max() < 1e-6)
    (torch.Size([4, 4]), True)
    """
    return torch.from_numpy(Filters(weight, measure, compiled=compiled).matrix.copy())


class Filters:
    """The filters of one layer, ready to be compared with each other and with means of themselves.

    Parameters
    ----------
    weight : Tensor, (n, channels, *kernel)
        A copy is kept; bias and batch norm take no part.
    measure, compiled
        As for :func:`pairwise`.

    Attributes
    ----------
    values : Tensor
        The weights after the value map, in their own shape.
    data_range : float
        The dynamic range L, one for all pairs.

    Examples
    --------
    >>> filters = Filters(torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    >>> filters.with_means([np.array([0, 1]), np.array([5])]).shape
    (2, 6)
    """

    def __init__(self, weight: Tensor, measure: Measure | None = None, *, compiled: bool | None = None) -> None:
        self.measure = measure or Measure()
        if weight.ndim < 2 or not weight.numel():
            raise InputError(f"SSIM: weights of shape {tuple(weight.shape)} hold no filters to compare")
        if not bool(torch.isfinite(weight).all()):
            raise InputError("SSIM: the layer's weights hold NaN or infinity; repair the network first")
        wide = weight.detach().to(torch.float64 if weight.dtype == torch.float64 else torch.float32)
        self.values, self.data_range = _mapped(wide, self.measure)
        self.n = int(weight.shape[0])
        self.gram = _gram(self.values, self.data_range, self.measure)
        self.compiled = _can_compile(self.values, self.measure) if compiled is None else compiled
        if self.compiled and self.gram is None and not _fits_kernel(self.values, self.measure):
            raise InputError(f"SSIM: the compiled form takes windows of up to {SIDE * SIDE} values on a CPU")
        grid = _grid(self.values, self.measure)
        self.windows = grid.shape[1] * grid.shape[2]
        self._cache: list[Described] | None = None

    @functools.cached_property
    def matrix(self) -> NDArray[np.float64]:
        """SSIM of every two filters, (n, n)."""
        if self.gram is not None:
            return self.gram.with_groups([np.array([i]) for i in range(self.n)])
        total = torch.zeros(self.n, self.n, dtype=torch.float64)
        for part in self._parts(self.values):
            rows = self._described(part)
            total += self._compared(rows, self._packed(rows), symmetric=True)
        return (total.triu() + total.triu(1).T).numpy() / self.windows

    def with_means(self, groups: Sequence[NDArray[np.integer]]) -> NDArray[np.float64]:
        """SSIM of the mean of each group of filters with every filter, (groups, n).

        A row depends on its own group alone, bit by bit, not on which groups were asked for with it.
        """
        if self.gram is not None:
            return self.gram.with_groups(groups)
        total = torch.zeros(len(groups), self.n, dtype=torch.float64)
        for start in range(0, len(groups), GROUPS):
            some = slice(start, start + GROUPS)
            centres = self.means(groups[some])
            for lanes, part in zip(self._lanes(), self._parts(centres), strict=True):
                total[some] += self._compared(self._described(part), lanes)
        return (total / self.windows).numpy()

    def means(self, groups: Sequence[NDArray[np.integer]]) -> Tensor:
        """The element-wise mean of each group, (groups, channels, *kernel), spec ssim-kmeans-pruning, 2.3."""
        flat = self.values.flatten(1)
        rows = [flat[torch.from_numpy(np.asarray(group, np.int64)).to(flat.device)].mean(0) for group in groups]
        return torch.stack(rows).reshape(len(rows), *self.values.shape[1:])

    def _parts(self, filters: Tensor) -> Iterator[Tensor]:
        """All windows of ``filters`` in parts, cut alike for every set of filters of this layer."""
        grid = _grid(filters, self.measure)
        axis = 1 if grid.shape[1] > grid.shape[2] else 2
        length = max(1, PART // (self.n * grid.shape[3] * grid.shape[4] * grid.shape[3 - axis]))
        for start in range(0, grid.shape[axis], length):
            yield grid.narrow(axis, start, min(length, grid.shape[axis] - start))

    def _lanes(self) -> Iterator[Described]:
        """The layer's own filters, as they are compared with others; kept where there is room."""
        if self._cache is not None:
            yield from self._cache
            return
        made = (self._packed(self._described(part)) for part in self._parts(self.values))
        if 12 * self.n * self.windows * self.values.element_size() > CACHED:
            yield from made
            return
        self._cache = list(made)
        yield from self._cache

    def _described(self, part: Tensor) -> Described:
        sample = self.measure.mode != "global"
        if not self.compiled:
            return Windows.of(part.reshape(len(part), part.shape[1] * part.shape[2], -1), sample=sample)
        from nervure.features.ssim_kernels import describe

        return describe(part, self.data_range, sample=sample)

    def _packed(self, rows: Described) -> Described:
        if isinstance(rows, Windows):
            return rows
        from nervure.features.ssim_kernels import pack

        return pack(rows)

    def _compared(self, rows: Described, lanes: Described, *, symmetric: bool = False) -> Tensor:
        if isinstance(rows, Windows):
            assert isinstance(lanes, Windows)
            return _plain(rows, lanes, self.data_range).cpu()
        assert not isinstance(lanes, Windows)
        from nervure.features.ssim_kernels import summed

        return summed(rows, lanes, self.data_range, symmetric=symmetric)[:, : self.n]


def _mapped(weight: Tensor, measure: Measure) -> tuple[Tensor, float]:
    if measure.similarity in ("mse", "cosine"):
        return weight.clone(), 1.0
    low, high = float(weight.min()), float(weight.max())
    if measure.value_map == "minmax01":
        weight = (weight - low) / (high - low) if high > low else torch.zeros_like(weight)
        low, high = 0.0, float(high > low)
    if measure.similarity == "uqi":
        # The index does not see scale; constants of one scale stay far from what float32 holds.
        return weight / (float(weight.abs().max()) or 1.0), VANISHING
    if measure.data_range == "layer_range":
        # A constant layer has no range; with any other its filters are all alike, which they are.
        return weight.clone(), (high - low) or 1.0
    return weight.clone(), 2.0 if measure.data_range == "legacy2" else float(measure.data_range)


def _constants(data_range: float) -> tuple[float, float]:
    return (K1 * data_range) ** 2, (K2 * data_range) ** 2


def _gram(values: Tensor, data_range: float, measure: Measure) -> Gram | None:
    """What compares whole filters; None where they are compared window by window."""
    if measure.similarity == "mse":
        return SquaredError(values)
    if measure.similarity == "cosine":
        return Cosine(values)
    return OneWindow(values, _constants(data_range)) if _whole(values, measure) else None


def _whole(weight: Tensor, measure: Measure) -> bool:
    """Whether one window covers the whole filter."""
    return measure.mode == "global" or (measure.mode == "kernel" and weight[0, 0].numel() == 1)


def _grid(weight: Tensor, measure: Measure) -> Tensor:
    """All windows as a view (n, down, across, height, width)."""
    images = flatten(weight, measure.layout)
    if _whole(weight, measure):
        return images[:, None, None]
    if measure.mode == "kernel":
        return weight.reshape(len(weight), weight.shape[1], 1, -1, 1)
    height, width = min(SIDE, images.shape[1]), min(SIDE, images.shape[2])
    return images.unfold(1, height, 1).unfold(2, width, 1)


def _plain(rows: Windows, lanes: Windows, data_range: float) -> Tensor:
    """SSIM summed over windows, (rows, lanes) in float64: spec ssim-kmeans-pruning, 6.3."""
    c1, c2 = _constants(data_range)
    total = torch.zeros(len(rows.mean), len(lanes.mean), dtype=torch.float64, device=rows.mean.device)
    step = max(1, TEMPORARY.get(total.device.type, 1 << 22) // max(1, total.numel()))
    for start in range(0, rows.mean.shape[1], step):
        (x, mx, vx), (y, my, vy) = ([part[:, start : start + step] for part in one] for one in (rows, lanes))
        value = torch.bmm(x.transpose(0, 1), y.permute(1, 2, 0)).mul_(2).add_(c2)
        mx, vx, my, vy = mx.T[:, :, None], vx.T[:, :, None], my.T[:, None], vy.T[:, None]
        value.mul_((mx * my).mul_(2).add_(c1))
        value.div_((mx.square() + my.square()).add_(c1))
        value.div_((vx + vy).add_(c2))
        total += value.sum(0, dtype=torch.float64)
    return total


def _fits_kernel(weight: Tensor, measure: Measure) -> bool:
    grid = _grid(weight[:1], measure)
    return weight.device.type == "cpu" and grid.shape[3] * grid.shape[4] <= SIDE * SIDE


def _can_compile(weight: Tensor, measure: Measure) -> bool:
    """float64 weights are compared in float64, which the compiled form does not do."""
    return (
        weight.dtype == torch.float32
        and importlib.util.find_spec("numba") is not None
        and _fits_kernel(weight, measure)
    )
