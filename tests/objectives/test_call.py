from __future__ import annotations

import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
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
