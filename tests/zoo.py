"""Networks of kinds that the project does not build itself, for the tests of cutting and masking."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(inputs: int, units: int, kernel: int = 3, **more: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, units, kernel, padding=kernel // 2, **more)


class Net(nn.Module):
    """A network whose forward is given beside its modules."""

    def __init__(self, forward: object, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.rule = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(self, x)


def plain() -> nn.Module:
    return nn.Sequential(
        _conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), _conv(8, 12), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(12 * 16, 10), nn.Tanh(), nn.Linear(10, 4),
    )  # fmt: skip


def late_norm() -> nn.Module:
    return nn.Sequential(
        _conv(3, 8), nn.ReLU(), nn.BatchNorm2d(8), _conv(8, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )


def residual() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.norm(self.b(F.relu(self.a(x)))) + x)
        return self.head(x.mean((2, 3)))

    return Net(forward, stem=_conv(3, 8), a=_conv(8, 6), b=_conv(6, 8), norm=nn.BatchNorm2d(8), head=nn.Linear(8, 4))


def onto_input() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = x + self.a(x)
        return self.head(F.relu(self.b(x)).mean((2, 3)))

    return Net(forward, a=_conv(3, 3), b=_conv(3, 8), head=nn.Linear(8, 4))


def joined_with_input() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = torch.cat([x, F.relu(self.a(x))], 1)
        return self.head(F.relu(self.b(x)).mean((2, 3)))

    return Net(forward, a=_conv(3, 8), b=_conv(11, 8), head=nn.Linear(8, 4))


def hard_view() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.a(x)).view(-1, 8 * 64)
        return self.head(F.relu(self.hidden(x)))

    return Net(forward, a=_conv(3, 8), hidden=nn.Linear(512, 6), head=nn.Linear(6, 4))


def soft_view() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        return self.head(x.view(x.size(0), -1))

    return Net(forward, a=_conv(3, 8), head=nn.Linear(512, 4))


def called_twice() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.twice(x))
        x = F.relu(self.twice(x))
        return self.head(F.relu(self.inner(x)).mean((2, 3)))

    return Net(forward, stem=_conv(3, 6), twice=_conv(6, 6), inner=_conv(6, 8), head=nn.Linear(8, 4))


def chunk_then_join() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        one, two = F.relu(self.a(x)).chunk(2, 1)
        x = torch.cat([two, F.relu(self.b(one))], 1)
        return self.head(F.relu(self.c(x)).mean((2, 3)))

    return Net(forward, a=_conv(3, 8), b=_conv(4, 6), c=_conv(10, 8), head=nn.Linear(8, 4))


def swapped() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        one, two = F.relu(self.a(x)).chunk(2, 1)
        return self.head(F.relu(self.c(torch.cat([two, one], 1))).mean((2, 3)))

    return Net(forward, a=_conv(3, 8), c=_conv(8, 8), head=nn.Linear(8, 4))


def gated() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        one, two = self.a(x).chunk(2, 1)
        return self.head((one * two.sigmoid()).mean((2, 3)))

    return Net(forward, a=_conv(3, 12), head=nn.Linear(6, 4))


def depthwise() -> nn.Module:
    return nn.Sequential(
        _conv(3, 8), nn.ReLU6(), _conv(8, 8, groups=8), nn.BatchNorm2d(8), nn.ReLU6(), _conv(8, 6, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip


def grouped() -> nn.Module:
    return nn.Sequential(
        _conv(3, 16), nn.ReLU(), _conv(16, 24, groups=4), nn.ReLU(), _conv(24, 8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


def multiplied() -> nn.Module:
    return nn.Sequential(
        _conv(3, 6), nn.ReLU(), _conv(6, 12, groups=6), nn.ReLU(), _conv(12, 8), nn.Flatten(), nn.Linear(512, 4)
    )


def group_norm() -> nn.Module:
    return nn.Sequential(
        _conv(3, 16), nn.GroupNorm(4, 16), nn.ReLU(), _conv(16, 8), nn.GroupNorm(8, 8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


def layer_norm() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 12), nn.LayerNorm(12), nn.GELU(), nn.Linear(12, 10), nn.RMSNorm(10), nn.GELU(), nn.Linear(10, 4)
    )


def instance_norm() -> nn.Module:
    return nn.Sequential(
        _conv(3, 8),
        nn.InstanceNorm2d(8, affine=True),
        nn.PReLU(8),
        _conv(8, 6),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(384, 4),
    )


class Block(nn.Module):
    """A transformer block with attention written out, heads hard-coded."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 24), nn.Linear(24, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 4, 16))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


class Encoder(nn.Module):
    """PyTorch's own transformer layer behind a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 16)
        self.layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, dropout=0.1)
        self.hidden, self.head = nn.Linear(16, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.layer(self.embed(x.transpose(1, 2))).mean(1))))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.rnn = kind(8, 6, batch_first=True, bidirectional=True)
        self.hidden, self.head = nn.Linear(12, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(F.relu(self.norm(self.conv(x))).transpose(1, 2))
        return self.head(F.relu(self.hidden(out[:, -1])))


def dense_join() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for layer in (self.a, self.b, self.c):
            x = torch.cat([x, F.relu(layer(x))], 1)
        return self.head(self.norm(x).mean((2, 3)))

    return Net(
        forward, stem=_conv(3, 6), a=_conv(6, 4), b=_conv(10, 4), c=_conv(14, 4), norm=nn.BatchNorm2d(18),
        head=nn.Linear(18, 4),
    )  # fmt: skip


def inception() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat([self.a(x), F.relu(self.b2(F.relu(self.b1(x)))), F.max_pool2d(x, 3, 1, 1)], 1)
        return self.head(F.relu(self.c(x)).flatten(1))

    return Net(
        forward, stem=_conv(3, 8), a=_conv(8, 4, 1), b1=_conv(8, 6, 1), b2=_conv(6, 10), c=_conv(22, 6),
        head=nn.Linear(384, 4),
    )  # fmt: skip


def join_plus_sum() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat([self.a(x), self.b(x)], 1) + self.c(x)
        return self.head(F.relu(x).mean((2, 3)))

    return Net(forward, stem=_conv(3, 8), a=_conv(8, 4), b=_conv(8, 6), c=_conv(8, 10), head=nn.Linear(10, 4))


def tied() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.free(x))
        return self.head(F.relu(self.two(F.relu(self.one(x)))))

    net = Net(forward, free=nn.Linear(5, 8), one=nn.Linear(8, 8), two=nn.Linear(8, 8), head=nn.Linear(8, 4))
    net.two.weight = net.one.weight
    return net


def tied_functional() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        return self.head(F.relu(F.linear(F.relu(self.encode(x)), self.encode.weight.t())))

    return Net(forward, encode=nn.Linear(5, 8), head=nn.Linear(5, 4))


def transposed() -> nn.Module:
    return nn.Sequential(
        _conv(3, 8), nn.ReLU(), nn.ConvTranspose2d(8, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU(), _conv(6, 5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip


def branches() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        paths = torch.stack([self.a2(F.relu(self.a1(x))), self.b2(F.relu(self.b1(x)))])
        weight = self.router(x.mean((2, 3))).softmax(1).t()[..., None, None, None]
        return self.head((weight * paths).sum(0).mean((2, 3)))

    return Net(
        forward, stem=_conv(3, 8), a1=_conv(8, 6), a2=_conv(6, 8), b1=_conv(8, 10), b2=_conv(10, 8),
        router=nn.Linear(8, 2), head=nn.Linear(8, 4),
    )  # fmt: skip


def squeezed() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x * self.up(F.relu(self.down(x.mean((2, 3))))).sigmoid()[..., None, None]
        x = x * self.spatial(x).sigmoid()
        return self.head(F.relu(self.c(x)).mean((2, 3)))

    return Net(
        forward, stem=_conv(3, 8), down=nn.Linear(8, 4), up=nn.Linear(4, 8), spatial=_conv(8, 1), c=_conv(8, 6),
        head=nn.Linear(6, 4),
    )  # fmt: skip


class Scaled(nn.Module):
    """Layer scale and zero-initialised norms: mistakes in such branches are invisible in the output."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = _conv(3, 8), _conv(8, 12), _conv(12, 8)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 1e-6))
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 4)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + self.scale * self.b(F.relu(self.a(x)))
        return self.head((x + self.norm(x)).mean((2, 3)))


class Hidden(nn.Module):
    """A mistake that fresh weights hide: channels are swapped in a branch whose scale begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = _conv(3, 8), _conv(8, 8), _conv(8, 8)
        self.scale = nn.Parameter(torch.zeros(1))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        shuffled = F.relu(self.a(x)).roll(1, 1)
        return self.head((x + self.scale * self.b(shuffled)).mean((2, 3)))


class Several(nn.Module):
    """Two outputs, one of which is a layer's own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.head = _conv(3, 8), _conv(8, 6), _conv(6, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.b(F.relu(self.a(x)))
        return self.head(F.relu(self.c(maps)).mean((2, 3))), maps


def shuffled() -> nn.Module:
    def forward(self: Net, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(F.relu(self.b(x)).mean((2, 3)))

    return Net(forward, a=_conv(3, 8), b=_conv(8, 6), head=nn.Linear(6, 4))


def functional() -> nn.Module:
    class Weights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Linear(5, 8), nn.Linear(7, 4)
            self.weight = nn.Parameter(torch.randn(8, 7))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(F.relu(self.a(x)) @ self.weight))

    return Weights()


def normalised_weight() -> nn.Module:
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    nn.utils.parametrizations.weight_norm(net[2])
    return net


IMAGE, VECTOR, SERIES = (3, 8, 8), (5,), (3, 9)
ZOO = {
    "plain": (plain, IMAGE), "late norm": (late_norm, IMAGE), "residual": (residual, IMAGE),
    "onto input": (onto_input, IMAGE), "joined with input": (joined_with_input, IMAGE),
    "hard view": (hard_view, IMAGE), "soft view": (soft_view, IMAGE), "called twice": (called_twice, IMAGE),
    "chunk then join": (chunk_then_join, IMAGE), "swapped": (swapped, IMAGE), "gated": (gated, IMAGE),
    "depthwise": (depthwise, IMAGE), "grouped": (grouped, IMAGE), "multiplied": (multiplied, IMAGE),
    "group norm": (group_norm, IMAGE), "layer norm": (layer_norm, VECTOR), "instance norm": (instance_norm, IMAGE),
    "attention": (Attention, IMAGE), "encoder": (Encoder, SERIES), "lstm": (Recurrent, SERIES),
    "gru": (lambda: Recurrent(nn.GRU), SERIES), "dense join": (dense_join, IMAGE), "inception": (inception, IMAGE),
    "join plus sum": (join_plus_sum, IMAGE), "tied": (tied, VECTOR), "tied functional": (tied_functional, VECTOR),
    "transposed": (transposed, IMAGE), "branches": (branches, IMAGE), "squeezed": (squeezed, IMAGE),
    "scaled": (Scaled, IMAGE), "hidden": (Hidden, IMAGE), "several": (Several, IMAGE), "shuffled": (shuffled, IMAGE),
    "functional": (functional, VECTOR), "normalised weight": (normalised_weight, VECTOR),
}  # fmt: skip


def make(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network in evaluation mode with norms that have seen data, and the shape of its samples."""
    build, shape = ZOO[name]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = build()
        net.train()
        with torch.no_grad():
            net(torch.randn(16, *shape))
    return net.eval(), shape
