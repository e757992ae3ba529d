"""Batches of a split, in an order that depends on the seed and the epoch alone.

With ``world`` processes, the global batch ``k`` holds ``order[k * size : (k + 1) * size]`` and process
``rank`` gets every ``world``-th sample of it, from the ``rank``-th on, which may be none. What augmentation
draws, and copies apart from it, depends on (seed, epoch, position in the data set). So one process or many, any
number of workers and any place to start from see the same samples, the same way.

Data that fits is preprocessed once and kept as float32; a batch is then one gather.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from nervure.data import counter
from nervure.data.augment import Augmentation
from nervure.data.dataset import Batch, Dataset, Indices
from nervure.errors import InputError

__all__ = ["CACHE_BYTES", "Loader", "batches", "permutation"]

CACHE_BYTES = 1 << 30
"""A split of up to this size (1 GiB as float32) is preprocessed once and kept."""


def permutation(n: int, seed: int, epoch: int) -> Indices:
    """The order of ``n`` samples in an epoch: (n,) int64, the same on every machine.

    >>> bool((permutation(5, 0, 0) == permutation(5, 0, 0)).all()), sorted(permutation(4, 7, 1).tolist())
    (True, [0, 1, 2, 3])
    """
    return counter.order(n, seed, epoch)


class Loader:
    """Batches of one split of a Dataset, epoch after epoch.

    Parameters
    ----------
    ds : Dataset
        The data.
    split : str or None
        Which split; None for all samples.
    size : int
        Samples in a global batch; the last may be smaller.
    seed : int
        Decides order and augmentation, with the epoch.
    shuffle : bool
        Whether each epoch has its own order; otherwise it is that of the split.
    augment : Augmentation, optional
        Random changes to the batches.
    copies : Augmentation, optional
        Random changes to a copy of each sample, ``batch.copy``, made from the sample before ``augment`` changes it
        and drawn independently of that. One that changes nothing gives the samples themselves.
    drop_last : bool
        Whether a last batch that is smaller than ``size`` is left out.
    workers : int, optional
        Threads that prepare batches ahead; 0 prepares each when it is asked for. The bytes are the same. By default
        none where the split is kept, else one.
    rank, world : int
        Which part of each global batch to give.
    device : torch device, optional
        Where batches go; kept data is moved once, and augmented there.
    cache : bool, optional
        Whether to keep the preprocessed split; by default if it takes at most 1 GiB.

    Examples
    --------
    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.zeros((20, 6)), np.arange(20) % 2)
    >>> loader = Loader(ds, "train", 4, shuffle=True)
    >>> len(loader), loader.count(3), [len(batch.x) for batch in loader.epoch(0)]
    (4, 2, [4, 4, 4, 2])
    """

    def __init__(
        self,
        ds: Dataset,
        split: str | None,
        size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        augment: Augmentation | None = None,
        copies: Augmentation | None = None,
        drop_last: bool = False,
        workers: int | None = None,
        rank: int = 0,
        world: int = 1,
        device: torch.device | str | None = None,
        cache: bool | None = None,
    ) -> None:
        if size < 1 or (workers or 0) < 0 or not 0 <= rank < world:
            raise InputError(
                f"batches of {size} by {workers} workers for rank {rank} of {world}; give sensible numbers"
            )
        self.ds = ds
        self.indices = ds.indices(split)
        self.size, self.seed, self.shuffle = size, seed, shuffle
        self.rank, self.world = rank, world
        self.device = None if device is None else torch.device(device)
        self.augment = augment if augment else None
        self.copies = copies
        for change in (augment, copies):
            if change is not None:
                change.check(ds.kind, ds.in_shape)
        if drop_last and len(self.indices) < size:
            raise InputError(
                f"a batch of {size} of {len(self.indices)} samples is dropped as the last; give a smaller one"
            )
        self.drop_last = drop_last
        fits = len(self.indices) * int(np.prod(ds.in_shape)) * 4 <= CACHE_BYTES
        self._kept = self._keep() if (fits if cache is None else cache) else None
        self.workers = int(self._kept is None) if workers is None else workers

    def __len__(self) -> int:
        return len(self.indices) // self.size if self.drop_last else -(-len(self.indices) // self.size)

    @property
    def total(self) -> int:
        """How many samples an epoch has, over all ranks."""
        return min(len(self) * self.size, len(self.indices))

    def count(self, k: int) -> int:
        """How many samples the global batch ``k`` has, over all ranks."""
        return max(0, min(self.size, self.total - k * self.size))

    def stand_in(self) -> Batch:
        """One sample, complete with its copy, for a rank whose share of a batch is empty but that must take part."""
        batch = self.ds.batch(self.indices[:1])
        return self._changed(batch if self.device is None else batch.to(self.device), 0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from global batch ``start`` on; the earlier ones are not prepared."""
        n = len(self.indices)
        order = permutation(n, self.seed, epoch) if self.shuffle else np.arange(n, dtype=np.int64)
        places = torch.from_numpy(order)
        if self._kept is not None:
            places = places.to(self._kept.x.device)
        jobs = range(start, len(self))
        if not self.workers:
            return (self._prepare(places, epoch, k) for k in jobs)
        return self._ahead(places, epoch, jobs)

    def _keep(self) -> Batch:
        """The whole split as one preprocessed batch."""
        x = torch.empty((len(self.indices), *self.ds.in_shape), dtype=torch.float32)
        step = max(1, (1 << 24) // max(1, x[:1].numel() * 4))
        for begin in range(0, len(x), step):
            x[begin : begin + step] = self.ds.batch(self.indices[begin : begin + step]).x
        y, mask = self.ds.y, self.ds.mask
        whole = Batch(
            x,
            None if y is None else torch.from_numpy(y[self.indices]),
            torch.from_numpy(self.indices.copy()),
            None if mask is None else torch.from_numpy(mask[self.indices]),
        )
        return whole if self.device is None else whole.to(self.device)

    def in_order(self, size: int) -> Loader:
        """The same samples in the split's order, unchanged and complete; what is kept in memory is shared.

        >>> from nervure.data import from_arrays
        >>> loader = Loader(from_arrays(np.zeros((20, 6)), np.arange(20) % 2), "train", 4, shuffle=True)
        >>> [batch.index.tolist() == loader.indices.tolist() for batch in loader.in_order(20).epoch(0)]
        [True]
        """
        twin = copy.copy(self)
        twin.size, twin.shuffle, twin.augment, twin.copies, twin.drop_last = size, False, None, None, False
        return twin

    def _prepare(self, places: Tensor, epoch: int, k: int) -> Batch:
        mine = places[k * self.size : (k + 1) * self.size]
        if self.world > 1:
            mine = mine[self.rank :: self.world]
        if self._kept is not None:
            kept = self._kept
            batch = Batch(
                kept.x.index_select(0, mine),
                None if kept.y is None else kept.y.index_select(0, mine),
                kept.index.index_select(0, mine),
                None if kept.mask is None else kept.mask.index_select(0, mine),
            )
        else:
            batch = self.ds.batch(self.indices[mine.numpy()])
            batch = batch if self.device is None else batch.to(self.device)
        return self._changed(batch, epoch)

    def _changed(self, batch: Batch, epoch: int) -> Batch:
        """The batch augmented, with its copy, which is made from the samples as they came."""
        beside = None
        preprocessing = self.ds.preprocessing
        if self.copies is not None:
            beside = self.copies(batch, seed=self.seed, epoch=epoch, preprocessing=preprocessing, stream=1).x
        if self.augment is not None:
            batch = self.augment(batch, seed=self.seed, epoch=epoch, preprocessing=preprocessing)
        return batch if beside is None else batch._replace(copy=beside)

    def _ahead(self, places: Tensor, epoch: int, jobs: range) -> Iterator[Batch]:
        """As many threads as workers, at most twice as many batches ahead, handed out in order."""
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="nervure-batches") as pool:
            try:
                for k in jobs:
                    waiting.append(pool.submit(self._prepare, places, epoch, k))
                    if len(waiting) >= 2 * self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def batches(
    ds: Dataset,
    split: str | None,
    size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = False,
    augment: Augmentation | None = None,
    copies: Augmentation | None = None,
    drop_last: bool = False,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    start: int = 0,
    device: torch.device | str | None = None,
) -> Iterator[Batch]:
    """The batches of one epoch; see :class:`Loader`, which keeps data between epochs.

    >>> from nervure.data import from_arrays
    >>> ds = from_arrays(np.arange(12.0).reshape(6, 2), standardize=False, validation=0, test=0)
    >>> [batch.index.tolist() for batch in batches(ds, "train", 4)]
    [[0, 1, 2, 3], [4, 5]]
    """
    loader = Loader(
        ds,
        split,
        size,
        seed=seed,
        shuffle=shuffle,
        augment=augment,
        copies=copies,
        drop_last=drop_last,
        workers=workers,
        rank=rank,
        world=world,
        device=device,
        cache=False,
    )
    return loader.epoch(epoch, start)
