"""A place hands each value to its statistics once."""

import pytest
import torch
from torch import nn

from nervure import nets
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.observe import Gram, Histogram, Moments, Site, Votes, ZeroFraction, collect
from nervure.observe.place import Place


def test_the_handle_removes_the_hook() -> None:
    layer = nn.Linear(2, 3)
    place = Place(Site("layer"), layer, [Moments(), Votes()])
    handle = place.attach()
    layer(torch.ones(2, 2))
    handle.remove()
    layer(torch.ones(2, 2))
    assert place.statistics()[("moments",)].result().examples == 2
    assert place.statistics()[Votes().key].result().examples == 2


def test_values_are_taken_before_what_follows_writes_in_place() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    with torch.no_grad():
        net[0].weight.fill_(-1)
        net[0].bias.fill_(0)
    place = Place(Site("0"), net[0], [Moments()])
    place.attach()
    with torch.no_grad():
        net(torch.ones(1, 2))
    assert place.statistics()[("moments",)].result().mean.tolist() == [-2.0, -2.0, -2.0]


def test_errors_name_the_layer() -> None:
    relu = nn.ReLU()
    place = Place(Site("block.relu"), relu, [Gram()])
    place.attach()
    with pytest.raises(InputError, match=r"layer 'block\.relu'"):
        relu(torch.ones(3))


class TimeFirst(nn.Module):
    """A transformer as torch makes it: (time, examples, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.enc(self.embed(x.transpose(0, 1))).mean(0))


class TestTimeBeforeExamples:
    LAYERS = ("embed", "enc", "enc.layers.0", "enc.layers.0.linear1", "head")

    def found(self, size: int) -> dict[str, tuple[object, torch.Tensor]]:
        x = torch.randn(60, 10, 3, generator=torch.Generator().manual_seed(0))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = TimeFirst()
        wanted = {name: [Moments(), Votes()] for name in self.LAYERS}
        return {
            site.module: (by_key["moments",].result(), by_key[Votes().key].result())
            for site, by_key in collect(net, x.split(size), wanted).items()
        }

    @pytest.mark.parametrize("size", [20, 6])
    def test_examples_are_those_of_the_batch_whatever_its_size(self, size: int) -> None:
        whole, parts = self.found(60), self.found(size)
        for name in self.LAYERS:
            for moments, votes in (whole[name], parts[name]):
                assert moments.examples == votes.examples == 60
            torch.testing.assert_close(whole[name][0].mean, parts[name][0].mean, rtol=1e-6, atol=1e-6)
            assert torch.equal(whole[name][1].votes, parts[name][1].votes)

    def test_as_many_steps_as_examples_are_told_by_other_batches_or_refused(self) -> None:
        net = TimeFirst()
        sizes = {"later": (20, 10), "before": (10, 20)}
        batches = {key: torch.randn(30, 10, 3).split(size) for key, size in sizes.items()}
        found = collect(net, batches["later"], {"embed": [Moments()]})[Site("embed")]
        assert found["moments",].result().examples == 30
        with pytest.raises(InputError, match=r"layer 'embed'.*as many examples as steps.*batch_first=True"):
            collect(net, batches["before"], {"embed": [Moments()]})


class TestMasks:
    """Steps that are padding do not count, where a map has the mask's steps."""

    @staticmethod
    def series(time: int) -> list[Batch]:
        x = torch.randn(64, 2, 20, generator=torch.Generator().manual_seed(0))
        mask = torch.arange(20) < torch.arange(64)[:, None] % 15 + 6
        x = torch.nn.functional.pad(x * mask[:, None], (0, time - 20))
        mask = torch.nn.functional.pad(mask, (0, time - 20))
        index = torch.arange(64)
        return [Batch(x[at], None, index[at], mask[at]) for at in index.split(24)]

    def test_padding_further_changes_nothing(self) -> None:
        net = nets.build("series-cnn", in_shape=(2, 20), classes=3)
        layer = "features.1"
        wanted = {layer: [Moments(), ZeroFraction(), Histogram(), Votes()]}
        short, long = (
            {key: one.result() for key, one in collect(net, self.series(time), wanted)[Site(layer)].items()}
            for time in (20, 60)
        )
        steps = int(sum(batch.mask.sum() for batch in self.series(20)))
        key = ("moments",)
        assert short[key].count == long[key].count == steps
        assert short[key].examples == long[key].examples == 64
        torch.testing.assert_close(short[key].mean, long[key].mean, rtol=1e-5, atol=1e-6)
        for one in (Histogram().key, Votes().key):
            part = "counts" if one == Histogram().key else "votes"
            assert torch.equal(getattr(short[one], part), getattr(long[one], part))

    def test_the_moments_are_those_of_the_steps_alone(self) -> None:
        net = nn.Sequential(nn.Conv1d(2, 3, 1))
        batches = self.series(20)
        found = collect(net, batches, {"0": [Moments()]})[Site("0")]["moments",].result()
        with torch.no_grad():
            rows = torch.cat([net(batch.x).transpose(1, 2)[batch.mask] for batch in batches]).double()
        torch.testing.assert_close(found.mean, rows.mean(0), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(found.variance, rows.var(0, unbiased=False), rtol=1e-6, atol=1e-7)

    def test_maps_of_another_length_keep_all_steps(self) -> None:
        net = nn.Sequential(nn.Conv1d(2, 3, 2, stride=2))
        found = collect(net, self.series(20), {"0": [Moments()]})[Site("0")]["moments",].result()
        assert found.count == 64 * 10
