from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.call import call, takes_mask


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x.sum() if mask is None else (x * mask[:, None]).sum()


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return x + 1, "more"


def test_masks_go_to_those_that_take_them() -> None:
    x, mask = torch.ones(2, 1, 3), torch.tensor([[True, True, False]] * 2)
    batch = Batch(x, None, torch.arange(2), mask)
    assert takes_mask(Masked()) and not takes_mask(nn.Identity())
    assert float(call(Masked(), batch)) == 4.0
    assert float(call(Masked(), batch._replace(mask=None))) == 6.0
    assert torch.equal(call(nn.Identity(), batch), x)


def test_the_first_of_several_outputs() -> None:
    assert torch.equal(call(Pair(), Batch(torch.zeros(2), None, torch.arange(2))), torch.ones(2))


class Several(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, object]:
        return {"loss": None, "out": (x + 1, x)}


def test_of_several_outputs_the_first_tensor_counts() -> None:
    batch = Batch(torch.zeros(2, 3), None, torch.arange(2))
    assert call(Several(), batch).tolist() == [[1.0] * 3] * 2


def test_a_network_without_a_tensor_is_refused() -> None:
    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> None:
            return None

    with pytest.raises(InputError, match="gives NoneType"):
        call(Silent(), Batch(torch.zeros(2, 3), None, torch.arange(2)))
