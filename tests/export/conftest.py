"""Tiny networks, and each of two written once in every format: an ONNX export takes seconds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from nervure.data.dataset import Preprocessing
from nervure.export import formats, write


class Small(nn.Module):
    """Convolution, batch norm with running statistics that matter, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 25, 3)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).flatten(1))


class Series(nn.Module):
    """1-D convolution and LSTM, averaged over the steps that have values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        steps, _ = self.lstm(self.conv(x).transpose(1, 2))
        weight = torch.ones_like(x[:, 0]) if mask is None else mask.to(x.dtype)
        return self.head((steps * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1))


class Branching(nn.Module):
    """A layer that no fixed graph can follow, behind one that can be."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.gate = Sign()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.body(x))


class Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Singular(nn.Module):
    """Has an operation that ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svdvals(x)


def _case(net: nn.Module, x: Tensor, mask: Tensor | None, preprocessing: Preprocessing) -> SimpleNamespace:
    network_input = preprocessing(x) if mask is None else preprocessing(x) * mask[:, None]
    with torch.inference_mode():
        given = (network_input,) if mask is None else (network_input, mask)
        logits = net.eval()(*given)
    return SimpleNamespace(
        net=net.train(),
        x=x,
        mask=mask,
        preprocessing=preprocessing,
        names=("a", "b", "ü"),
        logits=logits,
        files={},
    )


@pytest.fixture(scope="session")
def nets() -> SimpleNamespace:
    return SimpleNamespace(Small=Small, Series=Series, Branching=Branching, Singular=Singular)


@pytest.fixture(scope="session")
def image_case() -> SimpleNamespace:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randint(0, 256, (7, 2, 5, 5), dtype=torch.uint8)
        return _case(Small(), x, None, Preprocessing(1 / 255, (0.4, 0.5), (0.2, 0.3)))


@pytest.fixture(scope="session")
def series_case() -> SimpleNamespace:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        mask = torch.ones(6, 9, dtype=torch.bool)
        mask[1, 4:] = mask[3, 7:] = False
        x = torch.randn(6, 2, 9) * mask[:, None]
        return _case(Series(), x, mask, Preprocessing(1.0, (0.3, -0.2), (2.0, 0.5)))


@pytest.fixture(scope="session")
def written(
    image_case: SimpleNamespace, series_case: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, SimpleNamespace]:
    """``written["image"].files["onnx"]`` is what ``write`` returned; likewise for the others."""
    cases = {"image": image_case, "series": series_case}
    for kind, case in cases.items():
        folder: Path = tmp_path_factory.mktemp(kind)
        for name in formats.names():
            case.files[name] = write(
                case.net,
                folder / f"net.{name}",
                name,
                samples=case.x,
                mask=case.mask,
                preprocessing=case.preprocessing,
                names=case.names,
                task="classification",
                origin_json={"base": {"spec": "tiny"}, "steps": []},
            )
    return cases
