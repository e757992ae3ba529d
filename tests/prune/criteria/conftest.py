"""Five small networks of different structure, with what is known of their layers; all in float64."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Batch
from nervure.judge import Layer, judge
from nervure.nets.resnet import BasicBlock, ResNet
from nervure.observe import Site
from nervure.observe.borrowed import borrowed
from nervure.prune.criteria import criteria

EXAMPLES = 24


@dataclass
class Wiring:
    """A layer's batch norm, and who reads its units: name -> (first column, columns a unit)."""

    norm: str | None
    readers: Mapping[str, tuple[int, int]]
    reader: Site | None = None


@dataclass
class Case:
    net: nn.Module
    shape: tuple[int, ...]
    wiring: Mapping[str, Wiring]
    classes: int = 4
    x: Tensor = field(init=False)
    y: Tensor = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(EXAMPLES, *self.shape, generator=generator, dtype=torch.float64)
        if len(self.shape) == 3:
            # Pictures with something in the middle, so that there is a foreground.
            side = self.shape[1]
            place = torch.arange(side)
            for i, one in enumerate(self.x):
                low, high = 2 + i % 4, side - 3 - i % 5
                inside = (place >= low) & (place < high)
                one *= 0.4
                one += 2.0 * (inside[:, None] & inside[None])
        self.y = torch.randint(0, self.classes, (EXAMPLES,), generator=generator)

    def batches(self, size: int = 8, *, labels: bool = True) -> list[Batch]:
        index = torch.arange(EXAMPLES)
        y = self.y if labels else None
        return [Batch(self.x[at], None if y is None else y[at], index[at]) for at in index.split(size)]

    @property
    def layers(self) -> tuple[Layer, ...]:
        found = []
        for name, wires in self.wiring.items():
            module = self.net.get_submodule(name)
            first = next(iter(wires.readers))
            site = wires.reader or Site(first, "input")
            spread = 1 if wires.reader else wires.readers[first][1]
            found.append(Layer(name, module, module.weight.shape[0], site, spread, tuple(wires.readers)))
        return tuple(found)

    def permuted(self, name: str, order: Tensor) -> Case:
        """The same function, with the units of one layer in another order."""
        twin = copy.deepcopy(self.net)
        wires = self.wiring[name]
        parts = [twin.get_submodule(name)] + ([twin.get_submodule(wires.norm)] if wires.norm else [])
        with torch.no_grad():
            for module in parts:
                for part in ("weight", "bias", "running_mean", "running_var"):
                    value = getattr(module, part, None)
                    if value is not None:
                        value.copy_(value[order].clone())
            for reader, (start, spread) in wires.readers.items():
                weight = twin.get_submodule(reader).weight
                columns = (start + order[:, None] * spread + torch.arange(spread)).flatten()
                weight[:, start : start + len(columns)] = weight[:, columns].clone()
        return Case(twin, self.shape, self.wiring, self.classes)


class Concat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.joined = nn.Sequential(nn.Conv2d(11, 7, 3, stride=2), nn.BatchNorm2d(7), nn.ReLU())
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.left(x), self.right(x)], dim=1)
        return self.head(self.joined(x).mean((2, 3)))


class MultiPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2, units, 3, padding=1), nn.BatchNorm2d(units), nn.ReLU(inplace=True), nn.Conv2d(units, 6, 1)
            )
            for units in (5, 7)
        )
        self.router = nn.Linear(2, 2)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        gates = self.router(x.mean((2, 3))).softmax(1)
        mixed = sum(gates[:, i, None, None, None] * path(x) for i, path in enumerate(self.paths))
        return self.head(torch.relu(mixed).mean((2, 3)))


def mlp() -> Case:
    net = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4))
    return Case(net, (12,), {"0": Wiring(None, {"2": (0, 1)}), "2": Wiring(None, {"4": (0, 1)})})


def vgg() -> Case:
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 9, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 4),
    )  # fmt: skip
    wiring = {
        "0": Wiring("1", {"4": (0, 1)}),
        "4": Wiring("5", {"9": (0, 9)}),
        "9": Wiring("10", {"12": (0, 1)}),
    }
    return Case(net, (2, 12, 12), wiring)


def resnet() -> Case:
    net = ResNet(2, 4, BasicBlock, (1, 1), (6, 8))
    wiring = {
        f"stages.{stage}.0.conv1": Wiring(f"stages.{stage}.0.norm1", {f"stages.{stage}.0.conv2": (0, 1)})
        for stage in (0, 1)
    }
    return Case(net, (2, 12, 12), wiring)


def concat() -> Case:
    wiring = {
        "left.0": Wiring("left.1", {"joined.0": (0, 1)}, Site("left.2")),
        "right.0": Wiring("right.1", {"joined.0": (5, 1)}, Site("right.2")),
    }
    return Case(Concat(), (2, 12, 12), wiring)


def multipath() -> Case:
    wiring = {f"paths.{i}.0": Wiring(f"paths.{i}.1", {f"paths.{i}.3": (0, 1)}) for i in (0, 1)}
    return Case(MultiPath(), (2, 12, 12), wiring)


CASES: dict[str, Callable[[], Case]] = {
    "mlp": mlp, "vgg": vgg, "resnet": resnet, "concat": concat, "multipath": multipath,
}  # fmt: skip


@functools.cache
def made(name: str) -> Case:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        case = CASES[name]()
        case.net.to(torch.float64)
        for module in case.net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
                module.momentum = 1.0
        # Statistics of the data itself, so that no unit is dead.
        case.net.train()(case.x)
    return case


class HookProbe:
    """Mean cross-entropy with units of a layer silenced where they are read."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def loss(self, keep: Mapping[str, Tensor]) -> float:
        handles = []
        for name, mask in keep.items():
            for reader, (start, spread) in self.case.wiring[name].readers.items():
                handles.append(self._silence(reader, start, mask.repeat_interleave(spread)))
        try:
            with borrowed(self.case.net), torch.no_grad():
                out = self.case.net(self.case.x)
        finally:
            for handle in handles:
                handle.remove()
        return float(nn.functional.cross_entropy(out, self.case.y))

    def _silence(self, reader: str, start: int, mask: Tensor) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
            x = args[0].clone()
            x[:, start : start + len(mask)] *= mask.view(1, -1, *[1] * (x.ndim - 2))
            return x

        return self.case.net.get_submodule(reader).register_forward_pre_hook(hook)


def cross_entropy(net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    return nn.functional.cross_entropy(net(batch.x), batch.y), {}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return made(request.param)


@pytest.fixture
def probe_of() -> type[HookProbe]:
    return HookProbe


@pytest.fixture
def objective() -> Callable[[nn.Module, Batch], tuple[Tensor, dict[str, float]]]:
    return cross_entropy


@pytest.fixture
def network() -> Callable[[str], Case]:
    return made


class Toy(nn.Module):
    """Three 1x1 filters [1, -1, 2], ReLU, a mean over positions, two outputs: small enough for a pencil."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -1.0, 2.0]).view(3, 1, 1, 1))
            self.head.weight.copy_(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.relu(self.conv(x))))


def true_logit(net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """The mean logit of the true class: a loss whose gradients a pencil finds."""
    return net(batch.x).gather(1, batch.y[:, None]).mean(), {}


@pytest.fixture
def toy() -> Callable[..., Tensor]:
    """``toy(name, **options)``: the judgement of a criterion on the filters of the toy network."""

    def judged(name: str, probe: object = None, consumers: tuple[str, ...] = ("head",), **options: object) -> object:
        net = Toy().to(torch.float64)
        x = torch.tensor([[[[1.0, 0.0], [0.0, 3.0]]], [[[-1.0, -1.0], [0.0, 2.0]]]], dtype=torch.float64)
        batch = Batch(x, torch.tensor([0, 1]), torch.arange(2))
        layer = Layer("conv", net.conv, 3, Site("relu"), 1, consumers)
        criterion = criteria.get(name)(**options)
        found = judge(net, [batch], {name: criterion}, layers=[layer], objective=true_logit, probe=probe)
        return found[name]["conv"]

    return judged
