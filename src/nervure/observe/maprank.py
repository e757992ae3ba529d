"""MapRank: the average matrix rank of a unit's feature maps."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe.sums import Sums, count

__all__ = ["MapRank"]


class MapRank(Sums):
    """Mean over examples of the rank of each unit's map (spec ssim-kmeans-pruning, 7.1: HRank).

    A singular value counts where it exceeds ``largest * max(height, width) * eps`` of the activation's own
    precision, as in ``numpy.linalg.matrix_rank``. A map of one value or one row has rank 0 or 1. Costs a
    singular value decomposition a map, far more than a forward pass: give it a few hundred images.

    >>> rank = MapRank()
    >>> rank.update(torch.stack([torch.eye(3), torch.ones(3, 3)])[None], None)
    >>> rank.result()
    tensor([3., 1.], dtype=torch.float64)
    """

    @property
    def key(self) -> Hashable:  # noqa: D102
        return ("map-rank",)

    def update(  # noqa: D102
        self,
        activation: Tensor,
        batch: Batch | None,
        gradient: Tensor | None = None,
        incoming: Tensor | None = None,
    ) -> None:
        if activation.ndim > 4:
            raise InputError(f"maps of shape {tuple(activation.shape[2:])}; a rank needs two axes at most")
        maps = activation.detach()
        if maps.dtype not in (torch.float32, torch.float64):
            maps = maps.to(torch.float32)
        while maps.ndim < 4:
            maps = maps.unsqueeze(2)
        check = maps.sum(dtype=torch.float64)
        if not bool(check.isfinite()):
            self.add(check=check)
            return
        self.add(ranks=torch.linalg.matrix_rank(maps).sum(0), examples=count(len(maps)), check=check)

    def result(self) -> Tensor:
        """(units,) float64."""
        return self.total("ranks").to(torch.float64) / self.total("examples")
