"""The contract of every statistic in the table: any grouping and order gives what one pass gives."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe import statistics
from nervure.observe.statistic import Statistic

LAYER = nn.Conv2d(2, 3, 2, bias=False)
MAKE: dict[str, Callable[[], Statistic]] = {
    "fixed-histogram": lambda: statistics.get("fixed-histogram")((-1.0, 1.0), bins=7),
    "quantile": lambda: statistics.get("quantile")((0.1, 0.8), bins=32),
    "cross-gram": lambda: statistics.get("cross-gram")(LAYER, per_example=5),
}
OURS = [name for name, row in statistics.rows.items() if row.target.startswith("nervure.")]


def make(name: str) -> Statistic:
    return MAKE[name]() if name in MAKE else statistics.get(name)()


def feed(
    statistic: Statistic, x: Tensor, index: Tensor, afterwards: Callable[[Tensor], object] = lambda one: None
) -> None:
    incoming = x[index]
    with torch.no_grad():
        activation = LAYER(incoming).relu_()
    further = {}
    if statistic.needs_gradient:
        further["gradient"] = activation.flip(1) - 0.3
    if statistic.needs_input:
        further["incoming"] = incoming
    statistic.update(activation, Batch(incoming, None, index), **further)
    for one in (activation, *further.values()):
        afterwards(one)


def tensors_of(value: object) -> list[Tensor]:
    """All tensors in nested results and states, in order."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [one for part in parts for one in tensors_of(part)]


def same(one: Statistic, two: Statistic, scale: float) -> None:
    left, right = one.state(), two.state()
    assert left.keys() == right.keys()
    for name, part in left.items():
        if one.key[0] == "exact-quantile":
            assert torch.equal(part.sort(1).values, right[name].sort(1).values)
        elif part.is_floating_point():
            torch.testing.assert_close(part, right[name], rtol=1e-12, atol=1e-12 * scale)
        else:
            assert torch.equal(part, right[name]), name


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(12)), st.lists(st.integers(0, 12), min_size=3, max_size=3))
def test_any_batches_and_shards_give_what_one_pass_gives(
    name: str, seed: int, order: list[int], cuts: list[int]
) -> None:
    x = torch.randn(12, 2, 5, 4, generator=torch.Generator().manual_seed(seed)) * 4
    # One sample at a time, so that a convolution rounds alike whatever the batches.
    whole = make(name)
    for k in range(12):
        feed(whole, x, torch.tensor([k]))
    shards = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        shard = make(name)
        for k in order[start:stop]:
            feed(shard, x, torch.tensor([k]))
        shards.append(shard)
    scale = float(x.square().sum())
    left = shards[0].continued(shards[0].state())
    for shard in shards[1:]:
        left.merge(shard)
    same(left, whole, scale)
    right = shards[3].continued(shards[3].state())
    for shard in reversed(shards[:3]):
        right.merge(shard)
    same(right, whole, scale)
    again = make(name)
    again.load_state(left.state())
    same(again, left, 0.0)


@pytest.mark.parametrize("name", OURS)
def test_batch_size_does_not_matter(name: str) -> None:
    x = torch.randint(-3, 4, (12, 2, 5, 4), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        # Whole numbers are exact in any order of summation.
        weights = LAYER.weight.clone()
        LAYER.weight.copy_(LAYER.weight.mul(4).round())
    try:
        results = []
        for size in (12, 5, 1):
            statistic = make(name)
            for index in torch.arange(12).split(size):
                feed(statistic, x, index)
            results.append(statistic)
    finally:
        with torch.no_grad():
            LAYER.weight.copy_(weights)
    same(results[0], results[1], 1e4)
    same(results[0], results[2], 1e4)


@pytest.mark.parametrize("name", OURS)
def test_what_was_handed_out_stays_as_it_was(name: str) -> None:
    x = torch.randn(6, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    statistic, once = make(name), make(name)
    for one in (statistic, once):
        feed(one, x, torch.arange(3))
    state, result = statistic.state(), statistic.result()
    before = [part.clone() for part in tensors_of((state, result))]
    feed(statistic, x, torch.arange(3, 6))
    statistic.merge(once)
    after = tensors_of((state, result))
    assert before and all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.mark.parametrize("name", OURS)
def test_a_layer_that_writes_in_place_afterwards_changes_nothing(name: str) -> None:
    # A batch of one, and units of one place: where what is kept of an activation could be the activation itself.
    x = torch.randn(4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    kept, written_over = make(name), make(name)
    for k in range(4):
        feed(kept, x, torch.tensor([k]))
        feed(written_over, x, torch.tensor([k]), afterwards=Tensor.zero_)
    same(kept, written_over, 0.0)


@pytest.mark.parametrize("name", OURS)
def test_keys_and_empty_states(name: str) -> None:
    assert make(name).key == make(name).key
    hash(make(name).key)
    assert make(name).state() == {}
    assert make(name).finite()
    with pytest.raises(InputError, match="has seen no activations"):
        make(name).result()


def test_keys_tell_statistics_apart() -> None:
    assert len({make(name).key for name in OURS}) == len(OURS)
