import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nervure.errors import InputError
from nervure.nets.strides import POSITIONS, down_plan, kernels_for, mirror, stages_for, units_for

SIDES = st.lists(st.integers(1, 300), min_size=1, max_size=2).map(tuple)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=2).map(tuple))
def test_the_plan_is_what_torch_computes_and_its_mirror_leads_back(sides):
    kernels, back = kernels_for(sides, stages_for(sides))
    down = {1: nn.Conv1d, 2: nn.Conv2d}[len(sides)]
    up = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}[len(sides)]
    x = torch.zeros(1, 1, *sides)
    plan = down_plan(sides, kernels)
    for kernel, (padding, after) in zip(kernels, plan, strict=True):
        x = down(1, 1, kernel, 2, padding)(x)
        assert tuple(x.shape[2:]) == after
    larger = [*(after for _, after in reversed(plan[:-1])), sides]
    for kernel, (padding, small), large in zip(back, reversed(plan), larger, strict=True):
        pads, extra = mirror(small, large, kernel, padding)
        x = up(1, 1, kernel, 2, pads, extra)(x)
        assert tuple(x.shape[2:]) == large


@given(SIDES)
def test_no_more_stages_than_needed_and_few_positions_are_left(sides):
    def left(stages):
        return math.prod(down_plan(sides, kernels_for(sides, stages)[0])[-1][1])

    stages = stages_for(sides)
    assert left(stages) <= POSITIONS
    assert stages == 3 or left(stages - 1) > POSITIONS
    assert len(units_for(stages)) == len(kernels_for(sides, stages)[0]) == stages


def test_a_kernel_that_cannot_lead_back_is_refused():
    with pytest.raises(InputError, match="a decoder kernel of 1 cannot lead from 3 to 8"):
        mirror((3,), (8,), 1, (0,))
