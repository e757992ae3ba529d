"""The contract of every criterion in the table, on five kinds of network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from nervure import evidence
from nervure.errors import InputError
from nervure.judge import Criterion, judge
from nervure.prune.criteria import criteria, get, make, names

NAMES = names()
# Their starts are drawn by position, so another order of units is another search.
SEEDED = {"random", "ssim-kmeans", "euclidean-kmeans", "agglomerative"}


def verdict(name: str, case: Any, probe_of: Any, objective: Any, size: int = 8, **options: object) -> Any:
    criterion = get(name)(**options)
    return judge(
        case.net,
        case.batches(size, labels=criterion.needs_labels),
        {name: criterion},
        layers=case.layers,
        objective=objective if criterion.needs_gradient else None,
        probe=probe_of(case) if criterion.needs_probe else None,
    )[name]


def refused(name: str, case: Any) -> bool:
    """Batch-norm scale needs one behind each layer; the clusterings of SSIM need filters with two axes."""
    return name == "batch-norm-scale" and not any(wires.norm for wires in case.wiring.values())


@pytest.mark.parametrize("name", NAMES)
def test_row(name: str) -> None:
    row = criteria.row(name)
    assert row.line
    assert row.source
    assert not row.line.endswith(".")
    assert issubclass(get(name), Criterion)
    assert isinstance(get(name)(), Criterion)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("majority-votes", {}, "majority-vote"),
        ("l1", {"power": 3}, "criterion 'l1' has no setting 'power'; it takes none"),
        ("hrank", {"_places": 1}, "no setting '_places'"),
        ("ssim-kmeans", {"runs": "abc"}, "runs = 'abc'; give a valid integer"),
    ],
)
def test_settings_that_a_criterion_has_not(name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        make(name, settings=settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, case: Any, probe_of: Any, objective: Any, tmp_path: Path) -> None:
    case.net.train()
    next(iter(case.net.children())).eval()
    modes = [module.training for module in case.net.modules()]
    before = copy.deepcopy(case.net.state_dict())
    state = torch.random.get_rng_state()
    if refused(name, case):
        with pytest.raises(InputError, match="no batch norm"):
            verdict(name, case, probe_of, objective)
    else:
        found = verdict(name, case, probe_of, objective)
        again = verdict(name, case, probe_of, objective)
        apart = verdict(name, case, probe_of, objective, size=5)
        for layer in case.layers:
            scores = found[layer.name].scores
            assert scores.shape == (layer.units,)
            assert scores.dtype == torch.float64
            assert scores.isfinite().all()
            assert len(scores.unique()) > 1
            assert torch.equal(scores, again[layer.name].scores)
            assert torch.allclose(scores, apart[layer.name].scores, rtol=1e-6, atol=1e-12)
            assert found[layer.name].evidence
            for figure in found[layer.name].evidence:
                assert figure.alt
                evidence.save(tmp_path / "figure.npz", figure)
                assert evidence.load(tmp_path / "figure.npz").title == figure.title
    after = case.net.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert modes == [module.training for module in case.net.modules()]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in case.net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in case.net.modules())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SEEDED])
def test_units_in_another_order_have_the_same_scores(name: str, case: Any, probe_of: Any, objective: Any) -> None:
    if refused(name, case):
        return
    found = verdict(name, case, probe_of, objective)
    for layer in case.layers:
        order = torch.randperm(layer.units, generator=torch.Generator().manual_seed(7))
        turned = case.permuted(layer.name, order)
        assert torch.allclose(turned.net.eval()(case.x), case.net.eval()(case.x))
        scores = verdict(name, turned, probe_of, objective)[layer.name].scores
        assert torch.allclose(scores, found[layer.name].scores[order], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if get(name).needs_gradient])
def test_needs_of_gradients_are_true(name: str, network: Any) -> None:
    case = network("mlp")
    with pytest.raises(InputError, match="objective"):
        judge(case.net, case.batches(), {name: get(name)()}, layers=case.layers)


@pytest.mark.parametrize("name", [name for name in NAMES if get(name).needs_labels and not get(name).needs_probe])
def test_needs_of_labels_are_true(name: str, network: Any, objective: Any) -> None:
    case = network("mlp")
    with pytest.raises(InputError, match="label"):
        judge(case.net, case.batches(labels=False), {name: get(name)()}, layers=case.layers, objective=objective)


@pytest.mark.parametrize("name", [name for name in NAMES if get(name).needs_probe])
def test_needs_of_probes_are_true(name: str, network: Any) -> None:
    case = network("mlp")
    with pytest.raises(InputError, match="probe"):
        judge(case.net, case.batches(), {name: get(name)()}, layers=case.layers)


def test_all_criteria_at_once_judge_as_each_alone(network: Any, probe_of: Any, objective: Any) -> None:
    case = network("vgg")
    all_ = {name: get(name)() for name in NAMES if name not in ("ssim-kmeans", "agglomerative", "euclidean-kmeans")}
    together = judge(case.net, case.batches(), all_, layers=case.layers, objective=objective, probe=probe_of(case))
    for name in all_:
        alone = verdict(name, case, probe_of, objective)
        for layer in case.layers:
            one, other = together[name][layer.name].scores, alone[layer.name].scores
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-12), (name, layer.name)


def test_an_iterator_is_refused_where_data_is_read_again(network: Any) -> None:
    case = network("vgg")
    with pytest.raises(InputError, match="more than once"):
        judge(case.net, iter(case.batches()), {"iou-vote": get("iou-vote")()}, layers=case.layers)
    judge(case.net, iter(case.batches()), {"majority-vote": get("majority-vote")()}, layers=case.layers)


def test_nan_activations_are_refused_by_layer(network: Any) -> None:
    case = network("mlp")
    bad = case.batches()
    bad[1].x[0, 0] = float("nan")
    try:
        for name in ("majority-vote", "iou-vote", "hrank", "thinet"):
            with pytest.raises(InputError, match="NaN|never|finite"):
                judge(case.net, bad, {name: get(name)()}, layers=case.layers)
    finally:
        bad[1].x[0, 0] = 0.0
