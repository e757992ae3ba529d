from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nervure.observe.absolute import Absolute
from nervure.observe.rewritten import KINDS, Call, running


def test_every_kind_has_a_rule() -> None:
    for kind in set(KINDS.values()):
        assert callable(getattr(Absolute, kind))


def test_in_place_forms_run_on_a_copy() -> None:
    x = torch.tensor([-1.0, 1.0])
    for call in (
        Call(torch.relu_, "relu", (x,), {}),
        Call(nn.functional.relu, "relu", (x,), {"inplace": True}),
        Call(torch.Tensor.add_, "add", (x, 1.0), {}),
    ):
        assert call.run() is not x
        assert x.tolist() == [-1.0, 1.0]


def test_layers_are_known_while_they_are_called_also_after_an_error() -> None:
    seen = []

    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(mode.layer)
            if float(x.sum()) > 5:
                raise RuntimeError
            return x

    net = nn.Sequential(Inner(), nn.Identity())
    mode = Absolute()
    with running(net, mode, ["0"]):
        net(torch.zeros(1))
        with pytest.raises(RuntimeError):
            net(torch.full((1,), 9.0))
        assert mode.layer is None
    assert seen == ["0", "0"]
    assert not net[0]._forward_hooks
