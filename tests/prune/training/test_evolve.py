"""SET: a constant number of connections that move, none in the output layer, fewer for good after an event."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nervure import nets, train
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.prune.training import SparseEvolution, evolve, iterative_recipe
from nervure.prune.training.sparse import regrow
from nervure.train import Callback, Loop, Recipe


def recipe(total: int = 4, votes: dict[str, Any] | None = None, keep: str = "best", **options: Any) -> Recipe:
    callbacks = [{"name": "set", "options": {"epsilon": 4, **options}}]
    if votes is not None:
        given = {"epochs": 2, "remove": 0.2, "samples": 100, **votes}
        callbacks.insert(0, {"name": "iterative-votes", "options": given})
    return Recipe(epochs=total, batch=64, lr=3e-3, monitor="accuracy", keep=keep, callbacks=callbacks)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=(40, 30))


class Watch(Callback):
    """The masks as each epoch leaves them; what is masked has neither weight nor momentum."""

    def __init__(self) -> None:
        self.masks: list[dict[str, Tensor]] = []

    def start(self, loop: Loop) -> None:
        self.keep(loop)

    def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
        self.keep(loop)

    def after_step(self, loop: Loop, batch: object) -> None:
        own = next(one for one in loop.callbacks if isinstance(one, SparseEvolution))
        for name, mask in own.masks.items():
            weight = loop.net.get_parameter(name)
            held = [value for value in loop.optimizer.state[weight].values() if value.shape == mask.shape]
            assert len(held) == 2
            assert not any(bool(value[~mask].any()) for value in (weight, *held))

    def keep(self, loop: Loop) -> None:
        own = next(one for one in loop.callbacks if isinstance(one, SparseEvolution))
        self.masks.append({name: mask.clone() for name, mask in own.masks.items()})


class TestAlone:
    def test_connections_move_but_their_number_stays(self, net: nn.Module, ds: Dataset) -> None:
        watch = Watch()
        run = train.fit(net, ds, recipe(), device="cpu", callbacks=[watch])
        assert list(watch.masks[0]) == ["classifier.0.weight", "classifier.2.weight"]
        counts = {sum(int(mask.sum()) for mask in masks.values()) for masks in watch.masks}
        assert counts == {row["connections"] for row in run.history}
        assert len(counts) == 1
        for before, after in zip(watch.masks[:-2], watch.masks[1:-1], strict=True):
            for name, mask in before.items():
                moved = int((mask & ~after[name]).sum())
                assert 0 < moved <= math.ceil(0.3 * int(mask.sum()))
                assert moved == int((after[name] & ~mask).sum())
        # the last epoch is the end: what remains is removed, and nothing moves
        assert all(torch.equal(one, watch.masks[-2][name]) for name, one in watch.masks[-1].items())

    def test_each_epoch_and_layer_draws_anew(
        self, net: nn.Module, ds: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn: list[Tensor] = []

        def heard(stays: Tensor, count: int, draw: torch.Generator) -> Tensor:
            drawn.append(regrow(torch.zeros(100, dtype=torch.bool), 50, draw.clone_state()))
            return regrow(stays, count, draw)

        monkeypatch.setattr(evolve, "regrow", heard)
        train.fit(net, ds, recipe(4), device="cpu")
        assert len(drawn) == 6
        assert not any(torch.equal(one, other) for one, other in itertools.combinations(drawn, 2))

    def test_the_last_removal_leaves_all_but_zeta(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(), device="cpu")
        before = int(run.history[-1]["connections"])  # type: ignore[arg-type]
        left = sum(int((run.net.classifier[at].weight != 0).sum()) for at in (0, 2))  # type: ignore[union-attr, operator]
        gone = before - int(run.evidence["connections"].y[0, -1])  # type: ignore[attr-defined]
        assert 0.3 * before - 4 <= gone <= 0.3 * before
        # a pixel that is always dark leaves a weight at the zero that it grew from
        assert left <= before - gone
        degrees = run.evidence["degrees"]
        assert int((degrees.x * degrees.y).sum()) == before - gone  # type: ignore[attr-defined]
        assert degrees.y.sum(axis=1).tolist() == [40, 30]  # type: ignore[attr-defined]

    def test_without_it_the_best_epoch_is_kept_as_it_was(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(final_removal=False), device="cpu")
        best = max(float(row["validation_accuracy"] or 0) for row in run.history)
        found = train.evaluate(run.net, ds, split="validation", device="cpu").metrics["accuracy"]
        assert found == pytest.approx(best)

    def test_the_output_layer_stays_dense(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(1), device="cpu")
        assert bool((run.net.classifier[4].weight != 0).all())  # type: ignore[union-attr, arg-type]

    def test_the_same_seed_gives_the_same_masks_and_another_others(self, net: nn.Module, ds: Dataset) -> None:
        first, again, other = Watch(), Watch(), Watch()
        for watch, seed in ((first, 0), (again, 0), (other, 1)):
            made = recipe(2).model_copy(update={"seed": seed})
            train.fit(net, ds, made, device="cpu", callbacks=[watch])
        same = [all(torch.equal(a[k], b[k]) for k in a) for a, b in zip(first.masks, again.masks, strict=True)]
        assert all(same)
        assert not torch.equal(first.masks[0]["classifier.0.weight"], other.masks[0]["classifier.0.weight"])

    def test_new_connections_may_start_at_random(self, net: nn.Module, ds: Dataset) -> None:
        class Look(Callback):
            zeros: list[int] = []  # noqa: RUF012

            def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
                own = next(one for one in loop.callbacks if isinstance(one, SparseEvolution))
                weight, mask = loop.net.classifier[2].weight, own.masks["classifier.2.weight"]  # type: ignore[union-attr, index]
                Look.zeros.append(int((weight[mask] == 0).sum()))

        for init in ("zero", "he"):
            train.fit(net, ds, recipe(2, regrow_init=init), device="cpu", callbacks=[Look()])
        assert Look.zeros[0] > 0
        assert Look.zeros[2] == 0

    def test_orphans_by_loop(self, ds: Dataset) -> None:
        net = nets.build("mlp", ds, widths=(200, 100))
        watch = Watch()
        run = train.fit(net, ds, recipe(1, epsilon=1), device="cpu", callbacks=[watch])
        first, second = watch.masks[0].values()
        lost = sum(not first[j].any() or not second[:, j].any() for j in range(200))
        assert run.history[0]["orphans"] == lost + sum(not second[j].any() for j in range(100))
        assert lost > 0


class TestWithVotes:
    def test_the_number_never_grows_again(self, net: nn.Module, ds: Dataset) -> None:
        watch = Watch()
        run = train.fit(net, ds, recipe(9, votes={"cycles": 4}), device="cpu", callbacks=[watch])
        rows = run.history
        assert sum(int(row["event"] or 0) for row in rows) >= 2
        for before, after in itertools.pairwise(rows):
            if before["event"]:
                assert after["connections"] < before["connections"]  # type: ignore[operator]
            else:
                assert after["connections"] == before["connections"]
        for row, masks in zip(rows, watch.masks[1:], strict=True):
            width = [int(one) for one in str(row["widths"]).split("-")]
            now = [math.floor(0.8 * one + 1e-9) for one in width] if row["event"] else width
            assert [tuple(mask.shape) for mask in masks.values()] == [(now[0], 64), (now[1], now[0])]

    def test_weights_are_counted_without_masked_ones(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(5, votes={}), device="cpu")
        for row in run.history:
            last = int(str(row["widths"]).split("-")[-1])
            assert row["n_weights"] == row["connections"] + 10 * last  # type: ignore[operator]

    def test_the_wrong_order_is_refused(self, net: nn.Module, ds: Dataset) -> None:
        names = [{"name": "set"}, {"name": "iterative-votes"}]
        with pytest.raises(InputError, match="'iterative-votes' before 'set'"):
            train.fit(net, ds, Recipe(epochs=1, callbacks=names), device="cpu")  # type: ignore[arg-type]

    def test_a_cnn(self, ds: Dataset) -> None:
        cnn = nets.build("small-cnn", ds, width=0.125, head=(40, 30))
        made = iterative_recipe(sparse=True, cycles=1, epochs=1, epsilon=4)
        run = train.fit(cnn, ds, made, device="cpu")
        assert [row["widths"] for row in run.history] == ["40-30", "38-28"]
        convolutions = {name: one.shape for name, one in cnn.state_dict().items() if one.ndim == 4}
        assert {name: run.net.state_dict()[name].shape for name in convolutions} == convolutions


class TestResume:
    @pytest.mark.parametrize(("keep", "kill"), [("best", 8), ("last", 16)])
    def test_equals_uninterrupted(
        self, net: nn.Module, ds: Dataset, tmp_path: Path, keep: str, kill: int, kill_at: Any,
        killed: type[BaseException],
    ) -> None:  # fmt: skip
        how = recipe(4, keep=keep, regrow_init="he")
        whole = train.fit(net, ds, how, out=tmp_path / "whole", device="cpu")
        with pytest.raises(killed):
            train.fit(net, ds, how, out=tmp_path / "cut", device="cpu", callbacks=[kill_at(kill)])
        train.fit(net, ds, how, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[kill_at(-1)])
        model = "model.safetensors"
        assert (tmp_path / "whole" / model).read_bytes() == (tmp_path / "cut" / model).read_bytes()
        assert whole.history


def test_bad_input(net: nn.Module, ds: Dataset) -> None:
    cases = [
        (dict(epsilon=0), "epsilon = 0"),
        (dict(zeta=1.0), "zeta = 1.0"),
        (dict(regrow_init="ones"), "'zero' or 'he'"),
        (dict(layers=["classifier.4"]), "no hidden dense layer 'classifier.4'"),
    ]
    for options, message in cases:
        with pytest.raises(InputError, match=message):
            train.fit(net, ds, recipe(1, **options), device="cpu")  # type: ignore[arg-type]
    for flat in (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), nets.build("mlp", ds, widths=(1,))):
        with pytest.raises(InputError, match="no hidden dense layer"):
            train.fit(flat, ds, recipe(1), device="cpu")
