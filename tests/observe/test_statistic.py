"""The contract itself: an outside statistic takes part with the fewest methods."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.observe import Site, Statistic, collect


class Largest(Statistic):
    """Largest value of each unit, written as an outside package would: without what it doesn't need."""

    key = "largest"

    def __init__(self) -> None:
        self.value: Tensor | None = None

    def update(self, activation: Tensor, batch: Batch) -> None:
        self._take(activation.transpose(0, 1).flatten(1).amax(1).double())

    def _take(self, value: Tensor) -> None:
        self.value = value if self.value is None else torch.maximum(self.value, value)

    def merge(self, other: "Largest") -> None:
        if other.value is not None:
            self._take(other.value)

    def result(self) -> Tensor:
        return self.value

    def state(self) -> dict[str, Tensor]:
        return {} if self.value is None else {"value": self.value}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.value = state.get("value")


def test_an_outside_statistic_takes_part() -> None:
    x = torch.tensor([[1.0, -2.0], [3.0, -5.0]])
    found = collect(nn.Sequential(nn.Identity()), x.split(1), {"0": [Largest()]})
    assert found[Site("0")]["largest"].result().tolist() == [3.0, -2.0]


def test_finite_looks_at_floating_states() -> None:
    largest = Largest()
    largest.load_state({"value": torch.tensor([1.0, float("inf")])})
    assert not largest.finite()
    assert largest.continued({}).finite()
