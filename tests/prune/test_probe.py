from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from nervure import data, nets, objectives, prune
from nervure.data.dataset import Batch
from nervure.errors import InputError
from nervure.nets.structure.surgery import trace


def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(10, 5, generator=generator), torch.arange(10) % 3
    return [Batch(x[:6], y[:6], torch.arange(6)), Batch(x[6:], y[6:], torch.arange(6, 10))]


def test_a_probe_gives_the_loss_of_the_masked_network(tmp_path: Path) -> None:
    net = nets.build("mlp", in_shape=(5,), classes=3, widths=[7])
    probe = prune.MaskProbe(
        net, trace(net, torch.zeros(2, 5)), batches(), objectives.make("cross-entropy"), budget=2, path=tmp_path / "log"
    )
    x, y = torch.cat([one.x for one in batches()]), torch.cat([one.y for one in batches()])  # type: ignore[misc]
    with torch.no_grad():
        hidden = net.classifier[1](net.classifier[0](x))
        hidden[:, [0, 3]] = 0
        wanted = float(F.cross_entropy(net.classifier[2](hidden), y))
    keep = torch.tensor([False, True, True, False, True, True, True])
    assert probe.loss({"classifier.0": keep}) == pytest.approx(wanted, rel=1e-5)
    assert probe.loss({"classifier.0": torch.tensor([1, 2, 4, 5, 6])}) == pytest.approx(wanted, rel=1e-5)
    whole = probe.loss({})
    assert probe.loss({"classifier.0": torch.ones(7, dtype=torch.bool)}) == whole
    assert probe.evaluations == 2
    with pytest.raises(InputError, match="has used its 2 evaluations"):
        probe.loss({"classifier.0": torch.tensor([0])})
    again = prune.MaskProbe(
        net, trace(net, torch.zeros(2, 5)), batches(), objectives.make("cross-entropy"), budget=0, path=tmp_path / "log"
    )
    assert again.loss({}) == whole
    with torch.no_grad():
        net.classifier[0].bias += 1
    other = prune.MaskProbe(
        net, trace(net, torch.zeros(2, 5)), batches(), objectives.make("cross-entropy"), path=tmp_path / "log"
    )
    assert other.loss({}) != whole
    with pytest.raises(InputError, match="did you mean 'classifier.0'"):
        again.loss({"classifier.00": torch.tensor([0])})
    with pytest.raises(InputError, match="needs samples"):
        prune.MaskProbe(net, trace(net, torch.zeros(2, 5)), [], objectives.make("cross-entropy"))


def test_criteria_that_search_get_one() -> None:
    ds = data.load("digits")
    net = nets.build("mlp", ds, widths=[6])
    plan = prune.plan(net, ds, "ablation", prune.Target(keep=0.5), samples=50)
    assert plan.widths["classifier.0"] == (6, 3)
    assert plan.judging.samples == 50
    with pytest.raises(InputError, match="needs data to measure on"):
        prune.plan(net, None, "ablation", prune.Target(keep=0.5))


def test_an_answer_is_kept_for_these_samples_and_labels_alone(tmp_path: Path) -> None:
    net = nets.build("mlp", in_shape=(5,), classes=3, widths=[7])
    graph, ask = trace(net, torch.zeros(2, 5)), {"classifier.0": torch.tensor([0, 1])}
    there = batches()
    first = prune.MaskProbe(net, graph, there, objectives.make("cross-entropy"), path=tmp_path / "log").loss(ask)
    for other in (
        [one._replace(y=(one.y + 1) % 3) for one in there],  # type: ignore[operator]
        [one._replace(x=one.x * 2) for one in there],
    ):
        kept = prune.MaskProbe(net, graph, other, objectives.make("cross-entropy"), path=tmp_path / "log").loss(ask)
        assert kept == prune.MaskProbe(net, graph, other, objectives.make("cross-entropy")).loss(ask) != first
    smooth = objectives.make("cross-entropy", {"label_smoothing": 0.5})
    assert prune.MaskProbe(net, graph, there, smooth, path=tmp_path / "log").loss(ask) != first


def test_one_weight_of_many_is_another_question(tmp_path: Path) -> None:
    net = nets.build("mlp", in_shape=(5,), classes=3, widths=[70])
    graph, ask = trace(net, torch.zeros(2, 5)), {"classifier.0": torch.arange(3)}
    first = prune.MaskProbe(net, graph, batches(), objectives.make("cross-entropy"), path=tmp_path / "log").loss(ask)
    with torch.no_grad():
        net.classifier[0].weight[0, 1] += 5
    kept = prune.MaskProbe(net, graph, batches(), objectives.make("cross-entropy"), path=tmp_path / "log").loss(ask)
    assert kept == prune.MaskProbe(net, graph, batches(), objectives.make("cross-entropy")).loss(ask) != first


def test_samples_of_unknown_class_are_left_out() -> None:
    ds = data.load("digits")
    labels = ds.y.copy()
    labels[::2] = -1
    some = dataclasses.replace(ds, y=labels)
    plan = prune.plan(nets.build("mlp", ds, widths=[6]), some, "ablation", prune.Target(keep=0.5), samples=None)
    assert plan.judging.samples == int((labels[ds.indices("train")] >= 0).sum())
