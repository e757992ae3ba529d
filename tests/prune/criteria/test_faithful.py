from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nervure import prune
from nervure.data import from_arrays
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.prune.criteria.faithful import unfaithful


class Equalised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * 3, self.bias)


class Rewritten(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class Causal(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.kernel_size[0] - 1, 0)))


class Rolled(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.roll(1, 2))


def found(*modules: nn.Module, shape: tuple[int, ...] = (4,)) -> set[str]:
    net = nn.Sequential(*modules)
    batch = Batch(torch.randn(3, *shape), None, torch.arange(3))
    return unfaithful(net, [batch], [str(at) for at in range(len(modules))])


def test_layers_that_do_something_else_than_their_weights_say() -> None:
    assert found(nn.Linear(4, 4), Equalised(4, 4), Rewritten(4, 4)) == {"1"}
    assert found(nn.Conv1d(2, 2, 3, padding=1), Causal(2, 2, 3), Rolled(2, 2, 1), shape=(2, 7)) == {"1", "2"}
    patched = nn.Linear(4, 4)
    patched.forward = lambda x: x  # type: ignore[method-assign]
    assert found(patched) == {"0"}


def test_a_network_beyond_doubt_is_not_run() -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    net.register_forward_hook(lambda *given: pytest.fail("was run"))
    assert unfaithful(net, iter(()), ["0"]) == set()


@pytest.mark.parametrize("criterion", ["thinet", "channel-lasso"])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Equalised(8, 2)), (4,)),
        (lambda: nn.Sequential(nn.Conv1d(2, 8, 1), nn.ReLU(), Causal(8, 2, 3), nn.Flatten(), nn.Linear(14, 2)), (2, 7)),
    ],
)
def test_contributions_to_them_are_not_known(
    criterion: str, make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(size=(30, *shape)).astype("float32")
    with pytest.raises(InputError, match="layer '0' is read by '2', of type .*not known; exclude it") as error:
        prune.plan(make(), from_arrays(x, np.arange(30) % 2), criterion, prune.Target(keep={"0": 0.5}))
    assert "\n" not in str(error.value)
