from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clusterers import clusterer
from nervure import nets, sparsify, store, train
from nervure.data import Dataset, from_arrays
from nervure.errors import InputError
from nervure.sparsify.training.sparse import SparseTraining, share_at
from nervure.train import Callback, Loop, Recipe

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "rmsprop": {"optimizer": "rmsprop", "lr": 0.005, "momentum": 0.9, "weight_decay": 0.01},
}


@pytest.fixture
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=(12, 10), seed=0)


class Watch(Callback):
    """Looks at a sparse training after every step, and after each choice of masks."""

    def __init__(self, sparse: SparseTraining) -> None:
        self.sparse = sparse
        self.kept: dict[str, Tensor] = {}
        self.steps = self.moved = 0
        self.before: dict[str, Tensor] = {}
        self.returned: list[bool] = []
        self.masks: list[dict[str, Tensor]] = []

    def after_backward(self, loop: Loop, batch: object) -> None:
        for name, mask in self.sparse.masks.items():
            assert not loop.net.get_parameter(f"{name}.weight").grad[~mask].any()

    def after_step(self, loop: Loop, batch: object) -> None:
        for name, mask in self.sparse.masks.items():
            weight = loop.net.get_parameter(f"{name}.weight").detach()
            assert not weight[~mask].any()
            assert torch.equal(self.sparse._stored[name], self.kept[name])
            state = loop.optimizer.state[loop.net.get_parameter(f"{name}.weight")]
            memory = state.get("exp_avg", state.get("momentum_buffer"))
            self.moved += int(memory[~mask].count_nonzero())
            self.steps += 1
        self.before = {name: loop.net.get_parameter(f"{name}.weight").detach().clone() for name in self.sparse.masks}

    def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
        if self.masks:
            old = self.masks[-1]
            for name, mask in self.sparse.masks.items():
                back = mask & ~old[name]
                now = loop.net.get_parameter(f"{name}.weight").detach()
                if back.any():
                    self.returned.append(torch.equal(now[back], self.kept[name][back]))
                stay = mask & old[name]
                assert torch.equal(now[stay], self.before[name][stay])
        self.kept = {name: one.clone() for name, one in self.sparse._stored.items()}
        self.masks.append({name: mask.clone() for name, mask in self.sparse.masks.items()})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_exactly_put(name: str, net: nn.Module, ds: Dataset) -> None:
    sparse = SparseTraining("magnitude", 0.7, samples=50)
    watch = Watch(sparse)
    recipe = Recipe(epochs=5, batch=64, keep="last", **OPTIMIZERS[name])
    run = train.fit(net, ds, recipe, device="cpu", callbacks=[sparse, watch])
    # The optimizer would have moved them, and some came back with the values that they had stored.
    assert watch.steps and watch.moved
    assert watch.returned and all(watch.returned)
    assert any(not torch.equal(watch.masks[1][layer], watch.masks[-1][layer]) for layer in watch.masks[-1])
    for layer, mask in sparse.masks.items():
        assert int((run.net.get_parameter(f"{layer}.weight") == 0).sum()) == round(0.7 * mask.numel())
        assert torch.equal(run.net.get_parameter(f"{layer}.weight") != 0, mask)


def test_biases_and_norms_are_no_edges(ds: Dataset) -> None:
    net = nets.build("mlp", ds, widths=(12,), batch_norm=True, seed=0)
    run = sparsify.train_with(net, ds, "magnitude", 0.9, Recipe(epochs=2), fit_options={"device": "cpu"})
    state = run.net.state_dict()
    assert sparsify.Mask.of(run.net).sparsity == pytest.approx(0.9, abs=0.01)
    assert all(bool((value != 0).all()) for name, value in state.items() if value.ndim == 1 and "bias" not in name)


@pytest.mark.parametrize("criterion", ["isparse", "random", "snip", "wanda"])
def test_every_criterion_that_scores_can_train(criterion: str, net: nn.Module, ds: Dataset) -> None:
    run = sparsify.train_with(
        net, ds, criterion, 0.5, Recipe(epochs=3, keep="last"), samples=40, fit_options={"device": "cpu"}
    )
    assert [row["sparsity"] for row in run.history] == [0.0, 0.5, 0.5]
    assert sparsify.Mask.of(run.net).sparsity == 0.5
    assert run.history[0]["mask_change"] == 0.5 and run.history[-1]["mask_change"] == 0
    if criterion == "random":
        # Two independent halves differ on half of the edges.
        assert 0.4 < run.history[1]["mask_change"] < 0.6
    assert {"sparsity", "edges", "sparse-training"} <= set(run.evidence)
    assert run.evidence["edges"].rows[0][3:] == (0.5, 0.5)


def test_masks_at_random_follow_the_recipes_seed(net: nn.Module, ds: Dataset) -> None:
    one, two = (SparseTraining("random", 0.5, warm_up=0, refresh=0) for _ in range(2))
    for seed, sparse in enumerate((one, two)):
        train.fit(net, ds, Recipe(epochs=1, seed=seed), device="cpu", callbacks=[sparse])
    same = torch.cat([(mask == two.masks[name]).flatten() for name, mask in one.masks.items()])
    assert 0.4 < float(same.float().mean()) < 0.6


def test_the_masks_of_the_last_epoch_are_the_ones_reported(net: nn.Module, ds: Dataset) -> None:
    sparse = SparseTraining("magnitude", 0.6)
    seen: list[dict[str, Tensor]] = []

    class Note(Callback):
        def after_step(self, loop: Loop, batch: object) -> None:
            seen.append(dict(sparse.masks))

    train.fit(net, ds, Recipe(epochs=3, keep="last"), device="cpu", callbacks=[sparse, Note()])
    assert all(torch.equal(mask, seen[-1][name]) for name, mask in sparse.masks.items())


def test_the_best_epoch_is_one_at_the_full_sparsity(net: nn.Module, ds: Dataset) -> None:
    # Training is at its best before there are masks, as the learning rate is 0 in effect afterwards.
    recipe = Recipe(
        epochs=4, batch=16, lr=0.01, schedule="step", milestones=(1,), gamma=1e-9, keep="best", monitor="accuracy"
    )
    run = sparsify.train_with(net, ds, "random", 0.8, recipe, fit_options={"device": "cpu"})
    accuracy = [row["validation_accuracy"] for row in run.history]
    assert max(accuracy) == accuracy[0] > max(accuracy[1:])
    assert sparsify.Mask.of(run.net).sparsity == pytest.approx(0.8, abs=0.01)
    assert run.evidence["edges"].rows[-1][2] == sparsify.Mask.of(run.net).kept


def test_a_ramp_ends_half_way(net: nn.Module, ds: Dataset) -> None:
    run = sparsify.train_with(net, ds, "magnitude", 0.6, Recipe(epochs=6), ramp="linear", fit_options={"device": "cpu"})
    assert [row["sparsity"] for row in run.history] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.6, 0.6], abs=0.01)
    assert share_at(5, 6, 0, "linear") == 1


def test_patience_begins_at_the_full_sparsity(net: nn.Module, ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dense epochs and two of the ramp, each of them worse than the one before, or without a score."""
    scores = iter([4.0, float("nan"), 3.0, float("nan"), 2.0, 1.0])
    monkeypatch.setattr(Loop, "_validate", lambda loop, data: {"accuracy": next(scores)})
    recipe = Recipe(epochs=8, monitor="accuracy", patience=1)
    sparse, best = SparseTraining("magnitude", 0.6, warm_up=2, ramp="linear"), list[int]()

    class Note(Callback):
        def finish(self, loop: Loop) -> None:
            assert loop.best is not None
            best.append(loop.best.epoch)

    run = train.fit(net, ds, recipe, device="cpu", callbacks=[sparse, Note()])
    assert [row["sparsity"] for row in run.history] == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.6], abs=0.01)
    assert best == [5]


def test_masks_are_there_at_once_without_warm_up(net: nn.Module, ds: Dataset) -> None:
    run = sparsify.train_with(
        net, ds, "magnitude", 0.6, Recipe(epochs=2), warm_up=0, refresh=0, fit_options={"device": "cpu"}
    )
    assert [round(row["sparsity"], 2) for row in run.history] == [0.6, 0.6]
    gone = sparsify.plan(net, None, "magnitude", 0.6)
    assert gone.compare(sparsify.Mask.of(run.net)).whole == 1


def test_effective_scores_keep_zeros_out(net: nn.Module, ds: Dataset) -> None:
    recipe = Recipe(epochs=4, optimizer="sgd", lr=0.1, keep="last")
    found = {
        scores: sparsify.train_with(net, ds, "magnitude", 0.5, recipe, scores=scores, fit_options={"device": "cpu"})
        for scores in ("stored", "effective")
    }
    changes = {scores: [row["mask_change"] for row in run.history[1:-1]] for scores, run in found.items()}
    assert max(changes["effective"]) == 0 < min(changes["stored"])
    assert max(changes["stored"]) < 0.5  # of the edges, against the masks before: not against none at all


def test_a_weight_that_effective_scores_bring_back_has_what_it_stored(net: nn.Module, ds: Dataset) -> None:
    sparse = SparseTraining("random", 0.5, scores="effective")
    watch = Watch(sparse)
    train.fit(net, ds, Recipe(epochs=3, keep="last"), device="cpu", callbacks=[sparse, watch])
    assert watch.returned and all(watch.returned)


def test_what_changed_is_counted_between_two_masks(net: nn.Module, ds: Dataset) -> None:
    sparse, seen = SparseTraining("magnitude", 0.8), list[dict[str, Tensor]]()

    class Note(Callback):
        def after_step(self, loop: Loop, batch: object) -> None:
            if not seen or seen[-1] is not sparse.masks:
                seen.append(sparse.masks)

    recipe = Recipe(epochs=5, optimizer="sgd", lr=0.3, keep="last")
    run = train.fit(net, ds, recipe, device="cpu", callbacks=[sparse, Note()])
    masks = seen[1:]  # the first epoch has none
    edges = sum(mask.numel() for mask in masks[0].values())
    by_hand = [
        sum(int((mask != after[name]).sum()) for name, mask in before.items()) / edges
        for before, after in itertools.pairwise(masks)
    ]
    assert len(by_hand) == 3
    assert [row["mask_change"] for row in run.history[1:-1]] == pytest.approx(by_hand)
    assert 0 < max(by_hand) < 0.8


def test_a_pattern_can_be_trained_with(net: nn.Module, ds: Dataset) -> None:
    run = sparsify.train_with(
        net, ds, "magnitude", None, Recipe(epochs=2), pattern=[2, 4], fit_options={"device": "cpu"}
    )
    assert ((run.net.classifier[0].weight != 0).view(-1, 4).sum(1) == 2).all()


@pytest.mark.parametrize("step", [2, 7, 11])
def test_a_killed_training_goes_on_as_if_nothing_had_been(
    step: int, net: nn.Module, ds: Dataset, tmp_path: Path, kill_at: Any, killed: type[BaseException]
) -> None:
    sparse = {"name": "sparse-training", "options": {"criterion": "isparse", "sparsity": 0.6, "ramp": "linear"}}
    recipe = Recipe(epochs=4, batch=100, checkpoint_steps=1, keep="best", callbacks=(sparse,))
    whole = train.fit(net, ds, recipe, device="cpu")
    with pytest.raises(killed):
        train.fit(net, ds, recipe, out=tmp_path / "run", device="cpu", callbacks=[kill_at(step)])
    run = train.fit(net, ds, recipe, out=tmp_path / "run", device="cpu", resume=True, callbacks=[Callback()])
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, run.net.state_dict()[name])
    for column in ("sparsity", "mask_change", "train_loss"):
        assert [row[column] for row in whole.history] == [row[column] for row in run.history]


@pytest.mark.parametrize("refresh", [0, 1])
def test_a_training_killed_after_its_best_epoch_hands_that_one_over(
    refresh: int, net: nn.Module, ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    kill_at: Any, killed: type[BaseException],
) -> None:  # fmt: skip
    monkeypatch.setattr(Loop, "_validate", lambda loop, data: {"loss": abs(loop.epoch - 1.0)})  # the second is best
    recipe = Recipe(epochs=4, batch=100)
    whole, cut, rest = (SparseTraining("random", 0.5, refresh=refresh) for _ in range(3))
    unbroken = train.fit(net, ds, recipe, device="cpu", callbacks=[whole])
    with pytest.raises(killed):
        train.fit(net, ds, recipe, out=tmp_path / "run", device="cpu", callbacks=[cut, kill_at(14)])
    run = train.fit(net, ds, recipe, out=tmp_path / "run", device="cpu", resume=True, callbacks=[rest, Callback()])
    for name, mask in whole.masks.items():
        weight = run.net.get_parameter(f"{name}.weight")
        assert torch.equal(weight, unbroken.net.get_parameter(f"{name}.weight"))
        assert torch.equal(mask, weight != 0) and torch.equal(mask, rest.masks[name])
    assert [row["mask_change"] for row in run.history] == [row["mask_change"] for row in unbroken.history]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warm_up": -1}, "warm_up = -1"),
        ({"refresh": 0.5}, "refresh = 0.5"),
        ({"ramp": "steep"}, "ramp = 'steep'"),
        ({"scores": "both"}, "scores = 'both'"),
        ({"criterion": "l1"}, "trains the network"),
        ({"criterion": "isparse", "settings": {"no": 1}}, "has no setting 'no'"),
        ({"ramp": "linear", "refresh": 0}, "a ramp needs a choice"),
        ({"ramp": "linear", "pattern": [2, 4]}, "a pattern has one sparsity"),
        ({"order": "sideways"}, "order = 'sideways'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        SparseTraining(**options)


def test_a_warm_up_must_end(net: nn.Module, ds: Dataset) -> None:
    with pytest.raises(InputError, match="1 epochs of warm-up leave none of 1"):
        sparsify.train_with(net, ds, recipe=Recipe(epochs=1), fit_options={"device": "cpu"})
    with pytest.raises(InputError, match="each 9 epochs the ramp does not end within 6"):
        sparsify.train_with(net, ds, "magnitude", recipe=Recipe(epochs=6), ramp="linear", refresh=9)
    with pytest.raises(InputError, match="'classifier.0' would lose all"):
        sparsify.train_with(net, ds, "magnitude", 1.0, Recipe(epochs=2), fit_options={"device": "cpu"})


class TestBeforeTheWarmUp:
    """What cannot be judged is left whole, or refused, before the first epoch is trained for nothing."""

    def trained(self, net: nn.Module, ds: Dataset, criterion: str, **options: Any) -> tuple[SparseTraining, store.Run]:
        sparse = SparseTraining(criterion, 0.5, samples=20, **options)
        run = train.fit(net, ds, Recipe(epochs=2, batch=64, keep="last"), device="cpu", callbacks=[sparse])
        return sparse, run

    @pytest.mark.parametrize("criterion", ["isparse", "wanda"])
    def test_layers_that_are_never_called_stay_whole(self, criterion: str) -> None:
        net = clusterer("centres")
        ds = from_arrays(np.random.default_rng(0).random((60, 4), np.float32), np.arange(60) % 3, names=net.names)
        sparse, run = self.trained(net, ds, criterion)
        wanted = sparsify.plan(run.net, ds, criterion, 0.5)
        assert list(sparse.masks) == list(wanted.masks)
        assert sparse.left == wanted.about.notes["not_judged"] != []

    @pytest.mark.parametrize("criterion", ["isparse", "wanda"])
    def test_attention_keeps_its_own_projections(self, criterion: str) -> None:
        class Attending(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
                self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

            def forward(self, x: Tensor) -> Tensor:
                x = self.embed(x.flatten(1).unflatten(1, (-1, 4)))
                return self.head(self.attention(x, x, x)[0].mean(1))

        ds = from_arrays(np.random.default_rng(0).random((60, 8), np.float32), np.arange(60) % 3)
        sparse, _ = self.trained(Attending(), ds, criterion)
        assert list(sparse.masks) == ["embed", "head"]
        assert sparse.left == ["attention.out_proj", "attention"]

    def test_a_refusal_comes_before_training(self, ds: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        steps: list[int] = []
        monkeypatch.setattr(Loop, "_one_step", lambda *_: steps.append(1))
        monkeypatch.setattr("nervure.sparsify.criteria.final.MOST", 9)
        with pytest.raises(InputError, match="compares at most 9 outputs, and these are 10; give initial='identity'"):
            self.trained(nets.build("mlp", ds, widths=(8,)), ds, "isparse")
        assert not steps
