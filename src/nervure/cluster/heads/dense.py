"""DenseHead: what heads share whose dense layer ``linear`` reads the latents, however wide these are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from nervure.cluster.heads import lens
from nervure.cluster.heads.head import Head

__all__ = ["DenseHead"]


class DenseHead(Head):
    """A head that gives each cluster a row of a dense layer (clusters, latent).

    >>> head = DenseHead(3, 2000)
    >>> head.lens().shape
    torch.Size([2000, 1027])
    """

    def __init__(self, clusters: int, latent: int) -> None:
        super().__init__(clusters, latent)
        self.linear = nn.Linear(latent, clusters)

    def lens(self) -> Tensor | None:
        """Scores and a projection, where latents are wide."""
        return lens.lens(self.latent, self.linear.weight)

    @contextmanager
    def seen_through(self, through: Tensor | None) -> Iterator[None]:
        """Within, the dense layer reads what the lens shows."""
        with lens.narrowed(self.linear.weight, through):
            yield
