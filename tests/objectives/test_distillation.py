from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import nn

from nervure import nets, objectives, train
from nervure.data import load
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.objectives.distillation import Distillation


@pytest.fixture
def batch() -> Batch:
    draw = torch.Generator().manual_seed(0)
    return Batch(torch.randn(6, 4, generator=draw), torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6))


@pytest.fixture
def nets_() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(4, 3), nn.Linear(4, 3)


@pytest.mark.parametrize(("weight", "heat"), [(0.0, 1.0), (0.3, 4.0), (1.0, 2.0)])
def test_equals_scipy(weight: float, heat: float, batch: Batch, nets_: tuple[nn.Module, nn.Module]) -> None:
    net, teacher = nets_
    loss, logs = Distillation(teacher, weight=weight, temperature=heat)(net, batch)
    with torch.no_grad():
        mine, aim = (one(batch.x).double().numpy() for one in (net, teacher))
    soft = -(softmax(aim / heat, axis=1) * log_softmax(mine / heat, axis=1)).sum(1)
    hard = -log_softmax(mine, axis=1)[np.arange(6), batch.y]
    expected = float((weight * heat**2 * soft + (1 - weight) * hard).mean())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(logs["accuracy"]) == pytest.approx((mine.argmax(1) == batch.y.numpy()).mean())  # type: ignore[union-attr]
    assert float(logs["agreement"]) == pytest.approx((mine.argmax(1) == aim.argmax(1)).mean())


def test_linear_in_samples(batch: Batch, nets_: tuple[nn.Module, nn.Module]) -> None:
    objective = Distillation(nets_[1])
    parts = [Batch(batch.x[at], batch.y[at], batch.index[at]) for at in (slice(0, 2), slice(2, 6))]  # type: ignore[index]
    shares = [len(part.x) / 6 * float(objective(nets_[0], part)[0]) for part in parts]
    assert sum(shares) == pytest.approx(float(objective(nets_[0], batch)[0]), rel=1e-6)


def test_unknown_labels_leave_the_teacher(batch: Batch, nets_: tuple[nn.Module, nn.Module]) -> None:
    unknown = batch._replace(y=torch.full((6,), -1))
    half, _ = Distillation(nets_[1], weight=0.5)(nets_[0], unknown)
    alone, logs = Distillation(nets_[1], weight=1.0)(nets_[0], batch._replace(y=None))
    assert float(half) == pytest.approx(float(alone) / 2, rel=1e-6)
    assert set(logs) == {"agreement"}
    with pytest.raises(InputError, match="give weight=1"):
        Distillation(nets_[1])(nets_[0], batch._replace(y=None))


def test_accuracy_is_of_known_labels(batch: Batch, nets_: tuple[nn.Module, nn.Module]) -> None:
    found = nets_[0](batch.x).argmax(1)
    some = torch.where(torch.arange(len(found)) % 2 == 0, found, -1)
    assert float(Distillation(nets_[1])(nets_[0], batch._replace(y=some))[1]["accuracy"]) == 1.0


def test_the_teacher_is_left_alone(batch: Batch) -> None:
    teacher = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    objective = Distillation(teacher)
    net = nn.Linear(4, 3)
    losses = [float(objective(net, batch)[0]) for _ in range(2)]
    objective(net, batch)[0].backward()
    assert losses[0] == losses[1]
    assert teacher.training and all(one.requires_grad and one.grad is None for one in teacher.parameters())
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
    assert net.weight.grad is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs its teacher as a network"),
        ({"teacher": "runs/base"}, "needs its teacher as a network"),
        ({"teacher": nn.Linear(1, 1), "weight": 1.5}, "weight = 1.5"),
        ({"teacher": nn.Linear(1, 1), "temperature": 0.0}, "temperature = 0.0"),
    ],
)
def test_bad_settings(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        objectives.make("distillation", options)


def test_other_classes(batch: Batch) -> None:
    with pytest.raises(InputError, match=r"the teacher gives \(6, 5\), the network \(6, 3\)"):
        Distillation(nn.Linear(4, 5))(nn.Linear(4, 3), batch)


def test_trains_as_any_objective() -> None:
    ds = load("digits")
    teacher = nets.build("lenet-300-100", ds, seed=1)
    run = train.fit(
        nets.build("mlp", ds, widths=[16]), ds, train.Recipe(epochs=1), objective=Distillation(teacher), device="cpu"
    )
    assert "agreement" in " ".join(run.history[-1])
