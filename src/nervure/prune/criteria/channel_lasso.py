"""Channel LASSO: which units survive longest when the next layer's output is rebuilt sparsely."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nervure.judge import Judgement, Layer, Probe
from nervure.prune.criteria.next_layer import NextLayer, summed
from nervure.prune.criteria.verdict import verdict

__all__ = ["ChannelLasso", "entry_penalties"]


def entry_penalties(gram: Tensor) -> Tensor:
    """(units,) the largest penalty at which LASSO uses a unit to rebuild the sum of all contributions.

    Least angle regression follows ``min_b 1/2 |y - X b|^2 + penalty |b|_1`` exactly, from ``gram`` = XT X and
    XT y = ``gram @ 1`` alone. 0 for a unit that never enters.

    >>> entry_penalties(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
    tensor([4., 1.], dtype=torch.float64)
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path_gram

    wide = gram.detach().to("cpu", torch.float64)
    scale = wide.diagonal().max()
    entered = torch.zeros(len(wide), dtype=torch.float64)
    alive = torch.nonzero(wide.diagonal() > 1e-12 * scale).flatten()
    if not len(alive):
        return entered
    # Units that the others explain exactly are dropped on the way, with a warning; they keep 0.
    small = (wide[alive][:, alive] / scale).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        alphas, _, path = lars_path_gram(small.sum(1), small, n_samples=1, method="lasso", copy_Gram=True)
    used = torch.from_numpy(path != 0)
    first = used.to(torch.int64).argmax(1) - 1
    penalties = torch.from_numpy(alphas.copy())[first.clamp(min=0)]
    entered[alive] = torch.where(used.any(1), penalties, 0.0) * scale
    return entered


@dataclass(frozen=True)
class ChannelLasso(NextLayer):
    """Penalty up to which LASSO keeps a unit (spec ssim-kmeans-pruning, 7.1: channel pruning).

    The second step, least squares on what is left, is recovery: kernel estimation does it. ``per_example`` as
    in ThiNet. Equal scores, as of units that never enter, are ranked by size of contribution.

    >>> ChannelLasso().needs_gradient
    False
    """

    def judge(  # noqa: D102
        self,
        layer: Layer,
        weights: Mapping[str, Tensor],
        results: Mapping[str, object],
        probe: Probe | None = None,
    ) -> Judgement:
        gram = summed(results)
        tiebreak = gram.diagonal()
        return verdict(layer, "largest penalty", entry_penalties(gram), tiebreak=tiebreak, seed=self.seed)
