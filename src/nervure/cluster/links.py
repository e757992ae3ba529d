"""Links between samples as they meet a batch: which partners its samples have, and what they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nervure.objectives.pairs import link_loss

__all__ = ["Partners"]


class Partners:
    """Pairs that must or cannot be together, found by either sample.

    Parameters
    ----------
    must, cannot : sequence of pairs
        Positions of samples in the data set.

    Examples
    --------
    >>> partners = Partners([(0, 2)], [(1, 2)])
    >>> [one.tolist() for one in partners.of(torch.tensor([2, 0]))]
    [[0, 0, 1], [0, 1, 2], [True, False, True]]
    """

    def __init__(self, must: Sequence[Sequence[int]], cannot: Sequence[Sequence[int]]) -> None:
        pairs = torch.tensor([*must, *cannot], dtype=torch.int64).reshape(-1, 2)
        kind = torch.tensor([True] * len(must) + [False] * len(cannot))
        both = torch.cat([pairs, pairs.flip(1)])
        order = both[:, 0].argsort(stable=True)
        self._first, self._second = both[order, 0].contiguous(), both[order, 1]
        self._must = torch.cat([kind, kind])[order]

    def __len__(self) -> int:
        return len(self._first) // 2

    def of(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For samples at ``index`` (n,): rows of them, their partners' positions, whether they must be together."""
        index = index.cpu()
        low = torch.searchsorted(self._first, index, right=False)
        high = torch.searchsorted(self._first, index, right=True)
        counts = high - low
        rows = torch.repeat_interleave(torch.arange(len(index)), counts)
        start = torch.repeat_interleave(low - counts.cumsum(0) + counts, counts)
        at = start + torch.arange(int(counts.sum()))
        return rows, self._second[at], self._must[at]

    def loss(self, logs: Tensor, index: Tensor, beliefs: Tensor) -> Tensor:
        """Mean over the batch of the losses of its samples' links.

        Parameters
        ----------
        logs : Tensor, (n, k)
            Log-probabilities of the batch.
        index : Tensor, (n,)
            Its positions.
        beliefs : Tensor, (samples, k)
            Every sample's probabilities at the last phase.
        """
        rows, partners, must = self.of(index)
        if not len(rows):
            return logs.sum() * 0
        place = logs.device
        own, other = logs[rows.to(place)].exp(), beliefs.to(place)[partners.to(place)]
        return link_loss(own, other, must.to(place), torch.ones(len(rows), device=place)) * len(rows) / len(logs)
