"""Residual networks for small and large images, after He, Zhang, Ren and Sun (2016).

Shortcuts are identities where shapes agree and 1x1 projections where they do not, which is what the
published costs of spec majority-voting-pruning, 0.5 and 13, confirm.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import Tensor, nn

from nervure.nets.parts import batch_norm as norm_of
from nervure.nets.parts import choose, initialise, require_images, require_outputs, scaled

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet50",
    "resnet56",
    "thin_resnet",
]


def _conv(inputs: int, units: int, kernel: int, stride: int, norm: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, units, kernel, stride, kernel // 2, bias=not norm)


def _shortcut(inputs: int, units: int, stride: int, norm: bool) -> nn.Module:
    if inputs == units and stride == 1:
        return nn.Identity()
    return nn.Sequential(_conv(inputs, units, 1, stride, norm), norm_of(2, units, norm))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first one takes the stride.

    >>> import torch
    >>> BasicBlock(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    expansion = 1

    def __init__(
        self, inputs: int, units: int, stride: int = 1, batch_norm: bool = True, stride_on: str = "3x3"
    ) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, units, 3, stride, batch_norm)
        self.norm1 = norm_of(2, units, batch_norm)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv(units, units, 3, 1, batch_norm)
        self.norm2 = norm_of(2, units, batch_norm)
        self.shortcut = _shortcut(inputs, units, stride, batch_norm)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, height, width) -> (n, units, height / stride, width / stride)."""
        inner = self.relu1(self.norm1(self.conv1(x)))
        out: Tensor = self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(x))
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, four times as wide outside as inside.

    ``stride_on`` says which one takes the stride: the first ``"1x1"`` as first published, or the ``"3x3"``.

    >>> import torch
    >>> Bottleneck(4, 2, stride=2)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    expansion = 4

    def __init__(
        self, inputs: int, units: int, stride: int = 1, batch_norm: bool = True, stride_on: str = "1x1"
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        outer = units * self.expansion
        self.conv1 = _conv(inputs, units, 1, first, batch_norm)
        self.norm1 = norm_of(2, units, batch_norm)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv(units, units, 3, second, batch_norm)
        self.norm2 = norm_of(2, units, batch_norm)
        self.relu2 = nn.ReLU()
        self.conv3 = _conv(units, outer, 1, 1, batch_norm)
        self.norm3 = norm_of(2, outer, batch_norm)
        self.shortcut = _shortcut(inputs, outer, stride, batch_norm)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, height, width) -> (n, 4 * units, height / stride, width / stride)."""
        inner = self.relu1(self.norm1(self.conv1(x)))
        inner = self.relu2(self.norm2(self.conv2(inner)))
        out: Tensor = self.relu3(self.norm3(self.conv3(inner)) + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """A stem, stages of residual blocks, a global mean, a dense layer.

    Parameters
    ----------
    channels, classes : int
        Of the images; outputs.
    block : type
        :class:`BasicBlock` or :class:`Bottleneck`.
    counts, units : sequence of int
        Blocks in each stage, and their inner units; every stage but the first halves the map.
    stem : str
        ``"small"``: one 3x3 convolution; ``"large"``: 7x7 with stride 2, then a 3x3 max-pool with stride 2.

    Examples
    --------
    >>> import torch
    >>> ResNet(3, 10, BasicBlock, (1, 1), (4, 8))(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        block: type[BasicBlock] | type[Bottleneck],
        counts: Sequence[int],
        units: Sequence[int],
        *,
        stem: str = "small",
        batch_norm: bool = True,
        stride_on: str = "1x1",
    ) -> None:
        super().__init__()
        inputs = units[0]
        kernel, stride = (7, 2) if stem == "large" else (3, 1)
        first = [
            _conv(channels, inputs, kernel, stride, batch_norm),
            norm_of(2, inputs, batch_norm),
            nn.ReLU(),
        ]
        self.stem = nn.Sequential(*first, *([nn.MaxPool2d(3, 2, 1)] if stem == "large" else []))
        stages = []
        for at, (count, inner) in enumerate(zip(counts, units, strict=True)):
            blocks = []
            for index in range(count):
                stride = 2 if at and not index else 1
                blocks.append(block(inputs, inner, stride, batch_norm, stride_on))
                inputs = inner * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(inputs, classes)
        initialise(self)
        initialise(self.classifier, "none")

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) -> class scores (n, classes)."""
        scores: Tensor = self.classifier(self.pool(self.stages(self.stem(x))))
        return scores


def _resnet(
    in_shape: Sequence[int],
    classes: int,
    *,
    name: str,
    block: type[BasicBlock] | type[Bottleneck],
    counts: Sequence[int],
    units: Sequence[int],
    width: float,
    stem: str,
    batch_norm: bool,
    stride_on: str = "1x1",
) -> nn.Module:
    channels, height, side = require_images(name, in_shape)
    require_outputs(name, classes)
    choose("stem", stem, ("auto", "small", "large"))
    if stem == "auto":
        stem = "small" if min(height, side) < 64 else "large"
    return ResNet(
        channels,
        classes,
        block,
        counts,
        [scaled(one, width) for one in units],
        stem=stem,
        batch_norm=batch_norm,
        stride_on=stride_on,
    )


def thin_resnet(
    in_shape: Sequence[int],
    classes: int,
    *,
    depth: int,
    width: float = 1.0,
    stem: str = "auto",
    batch_norm: bool = True,
) -> nn.Module:
    """Three stages of (depth - 2) / 6 basic blocks with 16, 32 and 64 units: ResNet-20, 32 and 56.

    ``stem="auto"`` is one 3x3 convolution for images under 64 pixels, else 7x7 with a pool.

    >>> sum(parameter.numel() for parameter in thin_resnet((3, 32, 32), 10, depth=20).parameters())
    272474
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth={depth}; give 6 n + 2, such as 20")
    return _resnet(
        in_shape,
        classes,
        name=f"resnet{depth}",
        block=BasicBlock,
        counts=((depth - 2) // 6,) * 3,
        units=(16, 32, 64),
        width=width,
        stem=stem,
        batch_norm=batch_norm,
    )


def resnet18(
    in_shape: Sequence[int], classes: int, *, width: float = 1.0, stem: str = "auto", batch_norm: bool = True
) -> nn.Module:
    """Four stages of two basic blocks with 64 to 512 units.

    ``stem="auto"`` is one 3x3 convolution for images under 64 pixels, else 7x7 with a pool; spec isparse,
    3, has ``stem="large"`` on images of any size.

    >>> sum(parameter.numel() for parameter in resnet18((3, 224, 224), 1000).parameters())
    11689512
    """
    return _resnet(
        in_shape,
        classes,
        name="resnet18",
        block=BasicBlock,
        counts=(2, 2, 2, 2),
        units=(64, 128, 256, 512),
        width=width,
        stem=stem,
        batch_norm=batch_norm,
    )


def resnet50(
    in_shape: Sequence[int],
    classes: int,
    *,
    width: float = 1.0,
    stem: str = "auto",
    batch_norm: bool = True,
    stride_on: str = "1x1",
) -> nn.Module:
    """Four stages of 3, 4, 6 and 3 bottlenecks, 256 to 2048 units wide.

    ``stride_on="1x1"`` has the stride on the first convolution of a down-sampling block, as spec
    majority-voting-pruning, 0.5, counts it; ``"3x3"`` is the later habit. The stem is as in resnet18.

    >>> sum(parameter.numel() for parameter in resnet50((3, 224, 224), 1000).parameters())
    25557032
    """
    choose("stride_on", stride_on, ("1x1", "3x3"))
    return _resnet(
        in_shape,
        classes,
        name="resnet50",
        block=Bottleneck,
        counts=(3, 4, 6, 3),
        units=(64, 128, 256, 512),
        width=width,
        stem=stem,
        batch_norm=batch_norm,
        stride_on=stride_on,
    )


resnet20 = functools.partial(thin_resnet, depth=20)
resnet32 = functools.partial(thin_resnet, depth=32)
resnet56 = functools.partial(thin_resnet, depth=56)
