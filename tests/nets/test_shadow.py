import pytest
import torch
from torch import nn

from nervure.errors import InputError
from nervure.nets.shadow import on_meta, try_out


def test_the_copy_has_no_data_and_keeps_what_is_shared():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    copied = on_meta(net)
    assert all(tensor.is_meta for tensor in (*copied.parameters(), *copied.buffers()))
    assert copied[2].weight is copied[0].weight
    assert not net[0].weight.is_meta


def test_the_network_itself_is_never_run():
    class Remembers(nn.Module):
        def forward(self, x):
            self.last = x
            return x

    net = Remembers()
    try_out(net, [torch.ones(2)], lambda copied, inputs: copied(*inputs))
    assert not hasattr(net, "last")


def test_errors_are_one_line_of_the_real_run():
    with pytest.raises(InputError, match=r"Linear does not run on input of shape \(2, 4\): ") as caught:
        try_out(nn.Linear(3, 2), [torch.ones(2, 4)], lambda copied, inputs: copied(*inputs))
    assert "\n" not in str(caught.value)
