"""Iterative pruning: events at strict new bests, the best of the final widths, and the same bytes after a kill."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nervure import nets, store, train
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.prune.training import iterative_recipe
from nervure.train import Callback, Loop, Recipe

History = list[dict[str, Any]]


def recipe(total: int = 6, sparse: bool = False, settings: dict[str, Any] | None = None, **options: Any) -> Recipe:
    votes = {"name": "iterative-votes", "options": {"epochs": 2, "remove": 0.2, "samples": 100, **options}}
    callbacks = (votes, {"name": "set", "options": {"epsilon": 4}}) if sparse else (votes,)
    published = dict(batch=64, optimizer="sgd", lr=0.02, monitor="accuracy", weight_decay=2e-4)
    return Recipe(epochs=total, callbacks=callbacks, **{**published, **(settings or {})})


def bytes_of(net: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in net.state_dict().values()]


def memory_of(loop: Loop) -> list[bytes]:
    held = [loop.optimizer.state[parameter] for parameter in loop.net.parameters()]
    return [state[name].numpy().tobytes() for state in held for name in sorted(state)]


def without_durations(history: History) -> History:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.fixture(scope="module")
def net(ds: Dataset) -> nn.Module:
    return nets.build("mlp", ds, widths=(30, 20))


@pytest.fixture(scope="module")
def run(net: nn.Module, ds: Dataset) -> store.Run:
    return train.fit(net, ds, recipe(40, stall=2, cycles=5), device="cpu")


class TestHistory:
    def test_events_follow_exactly_the_strict_new_bests(self, run: store.Run) -> None:
        best, tops = 0.0, {}
        for row in run.history:
            tops[row["cycle"]] = max(tops.get(row["cycle"], 0.0), row["validation_accuracy"])  # type: ignore[index, type-var]
        ends = {row["cycle"]: row for row in run.history}
        for cycle, row in ends.items():
            assert row["best"] == best
            assert row["event"] == int(tops[cycle] > best)
            best = max(best, tops[cycle])
        assert sum(row["event"] for row in run.history) == sum(row["event"] for row in ends.values()) > 1  # type: ignore[misc]

    def test_widths_fall_by_the_fraction_at_events_alone(self, run: store.Run) -> None:
        now = [30, 20]
        for row in run.history:
            assert row["widths"] == "-".join(map(str, now))
            assert row["n_weights"] == 64 * now[0] + now[0] * now[1] + now[1] * 10
            if row["event"]:
                now = [math.floor(0.8 * width + 1e-9) for width in now]
        assert [run.net.classifier[at].out_features for at in (0, 2)] == now  # type: ignore[union-attr, operator]

    def test_the_best_network_of_the_final_widths_is_kept(self, run: store.Run, ds: Dataset) -> None:
        last = max(at for at, row in enumerate(run.history) if row["event"])
        after = [row["validation_accuracy"] for row in run.history[last + 1 :]]
        found = train.evaluate(run.net, ds, split="validation", device="cpu").metrics["accuracy"]
        assert found == pytest.approx(max(after))  # type: ignore[type-var]

    def test_figures(self, run: store.Run) -> None:
        cycles = run.history[-1]["cycle"]
        events = sum(int(row["event"] or 0) for row in run.history)
        assert run.evidence["pruning-accuracy"].y.shape == (3, cycles)  # type: ignore[attr-defined]
        assert run.evidence["pruning-widths"].y.shape == (2, events + 1)  # type: ignore[attr-defined]
        assert run.evidence["pruning-size"].groups.sum() == events  # type: ignore[attr-defined]
        assert run.evidence["widths"].before.tolist() == [30, 20]  # type: ignore[attr-defined]
        assert run.evidence["widths"].after.tolist() == [  # type: ignore[attr-defined]
            run.net.classifier[at].out_features
            for at in (0, 2)  # type: ignore[union-attr, operator]
        ]

    def test_the_network_given_is_untouched(self, net: nn.Module, run: store.Run) -> None:
        assert [net.classifier[at].out_features for at in (0, 2)] == [30, 20]  # type: ignore[union-attr, operator]


class TestCycles:
    def test_the_best_weights_of_the_cycle_come_back(self, net: nn.Module, ds: Dataset) -> None:
        seen: dict[int, tuple[list[bytes], list[bytes]]] = {}
        checked: list[int] = []

        class Before(Callback):
            def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
                seen[row["epoch"]] = bytes_of(loop.net), memory_of(loop)

        class After(Callback):
            def after_epoch(self, loop: Loop, row: dict[str, Any]) -> None:
                own = [one for one in loop.history if one["cycle"] == row["cycle"]]
                if len(own) < 3 or row["event"]:
                    return
                top = max(own, key=lambda one: one["validation_accuracy"])  # type: ignore[arg-type, return-value]
                assert (bytes_of(loop.net), memory_of(loop)) == seen[top["epoch"]]  # type: ignore[index]
                checked.append(top["epoch"] != row["epoch"])

        from nervure.prune.training import IterativeVotes

        votes = IterativeVotes(epochs=3, remove=0.5, samples=50)
        plain = Recipe(epochs=12, batch=64, lr=0.02, monitor="accuracy")
        train.fit(net, ds, plain, device="cpu", callbacks=[Before(), votes, After()])
        assert any(checked)

    def test_a_stall_ends_training(self, run: store.Run, net: nn.Module, ds: Dataset) -> None:
        stalled = train.fit(net, ds, recipe(40, stall=1, epochs=1, min_delta=0.9), device="cpu")
        assert len(stalled.history) == 1
        assert stalled.history[0]["event"] == 0

    def test_the_cycles_allowed_end_training_after_one_more(self, net: nn.Module, ds: Dataset) -> None:
        ended = train.fit(net, ds, recipe(40, cycles=1, epochs=1), device="cpu")
        assert [row["event"] for row in ended.history] == [1, 0]

    def test_nothing_is_cut_that_is_not_trained_any_more(self, net: nn.Module, ds: Dataset) -> None:
        ended = train.fit(net, ds, recipe(2, epochs=1, tolerance=1.0), device="cpu")
        assert [row["event"] for row in ended.history] == [1, 0]
        assert (
            ended.history[-1]["widths"]
            == "-".join(
                str(layer.out_features) for layer in ended.net.modules() if isinstance(layer, nn.Linear)
            ).rpartition("-")[0]
        )

    def test_training_that_is_too_short_to_cut_says_so(
        self, net: nn.Module, ds: Dataset, caplog: pytest.LogCaptureFixture
    ) -> None:
        train.fit(net, ds, recipe(4), device="cpu")
        assert "removed nothing" not in caplog.text
        train.fit(net, ds, recipe(2), device="cpu")
        assert "removed nothing in 2 epochs; a cycle has 2" in caplog.text

    def test_the_learning_rate_falls_when_no_best_comes(self, net: nn.Module, ds: Dataset) -> None:
        slow = train.fit(net, ds, recipe(5, epochs=1, min_delta=0.0, remove=0.9, stall=None, lr_wait=1), device="cpu")
        rates = [row["lr"] for row in slow.history]
        expected = [0.02]
        best = 0.0
        for row in slow.history[:-1]:
            better = row["validation_accuracy"] > best  # type: ignore[operator]
            best = max(best, row["validation_accuracy"])  # type: ignore[assignment, type-var]
            expected.append(expected[-1] * (1 if better else 0.5))
        assert rates == pytest.approx(expected)
        assert rates[-1] < 0.02  # type: ignore[operator]

    def test_time_decay(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(2, lr_time_decay=0.1), device="cpu")
        steps = math.ceil(len(ds.splits["train"]) / 64)
        rates = [0.02 / (1 + 0.1 * (epochs * steps - 1)) for epochs in (1, 2)]
        assert [row["lr"] for row in run.history] == pytest.approx(rates)

    def test_a_layer_of_one_unit_is_left_alone(self, ds: Dataset) -> None:
        tiny = nets.build("mlp", ds, widths=(12, 2))
        run = train.fit(tiny, ds, recipe(4, epochs=1, tolerance=1.0), device="cpu")
        assert [row["widths"] for row in run.history] == ["12-2", "9-1", "7-1", "5-1"]

    def test_the_loss_may_decide(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(3, epochs=1, settings={"monitor": "loss"}), device="cpu")
        assert run.history[0]["event"] == 1
        assert run.history[0]["best"] is None

    @pytest.mark.parametrize("criterion", ["random", "l1"])
    def test_controls(self, net: nn.Module, ds: Dataset, criterion: str) -> None:
        run = train.fit(net, ds, recipe(2, epochs=1, criterion=criterion), device="cpu")
        assert run.history[1]["widths"] == "24-16"

    def test_another_seed_cuts_other_units_at_random(self, net: nn.Module, ds: Dataset) -> None:
        kept = []
        for seed in (0, 1):
            still = {"seed": seed, "lr": 1e-12, "monitor": "loss"}  # so units are known by their weights
            run = train.fit(net, ds, recipe(2, epochs=1, criterion="random", settings=still), device="cpu")
            before, after = (one.classifier[0].weight for one in (net, run.net))  # type: ignore[union-attr, index]
            same = torch.isclose(after[:, None], before[None], atol=1e-6).all(2)  # type: ignore[index, arg-type]
            assert same.sum(1).tolist() == [1] * 24
            kept.append(same.nonzero()[:, 1].tolist())
        assert kept[0] != kept[1]


class TestConvolutions:
    def test_only_the_dense_part_is_pruned(self, ds: Dataset, tmp_path: Path) -> None:
        cnn = nets.build("small-cnn", ds, width=0.125, head=(24, 20))
        run = train.fit(cnn, ds, recipe(3, epochs=1, tolerance=1.0), out=tmp_path / "r", device="cpu")
        before, after = cnn.state_dict(), run.net.state_dict()
        same = [name for name in before if before[name].shape == after[name].shape]
        convolutions = [name for name, value in before.items() if value.ndim == 4]
        assert convolutions
        assert set(convolutions) <= set(same)
        assert [row["widths"] for row in run.history] == ["24-20", "19-16", "15-12"]
        loaded = store.load(tmp_path / "r")
        assert bytes_of(loaded.net) == bytes_of(run.net)

    def test_only_layers_that_are_named(self, net: nn.Module, ds: Dataset) -> None:
        run = train.fit(net, ds, recipe(2, epochs=1, layers=["classifier.2"]), device="cpu")
        assert [row["widths"] for row in run.history] == ["20", "16"]


class TestResume:
    @pytest.mark.parametrize(
        ("sparse", "settings", "kill"),
        [(False, {}, 5), (False, {"optimizer": "adam", "lr": 2e-3}, 20), (True, {}, 13), (True, {}, 33)],
    )
    def test_equals_uninterrupted(
        self, net: nn.Module, ds: Dataset, tmp_path: Path, sparse: bool, settings: dict[str, Any], kill: int,
        kill_at: Any, killed: type[BaseException],
    ) -> None:  # fmt: skip
        how = recipe(6, sparse=sparse, settings=settings)
        whole = train.fit(net, ds, how, out=tmp_path / "whole", device="cpu")
        with pytest.raises(killed):
            train.fit(net, ds, how, out=tmp_path / "cut", device="cpu", callbacks=[kill_at(kill)])
        resumed = train.fit(net, ds, how, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[kill_at(-1)])
        model = "model.safetensors"
        assert (tmp_path / "whole" / model).read_bytes() == (tmp_path / "cut" / model).read_bytes()
        assert without_durations(whole.history) == without_durations(resumed.history)
        assert any(row["event"] for row in whole.history)
        loaded = store.load(tmp_path / "cut")
        assert bytes_of(loaded.net) == bytes_of(whole.net)

    @pytest.mark.parametrize("layers", [[], ["classifier.0"]])
    @pytest.mark.parametrize("sparse", [False, True])
    def test_with_one_unit_left(
        self, ds: Dataset, tmp_path: Path, sparse: bool, layers: list[str], kill_at: Any, killed: type[BaseException]
    ) -> None:
        net, how = nets.build("mlp", ds, widths=(4,)), recipe(4, sparse, epochs=1, remove=0.6, layers=layers)
        whole = train.fit(net, ds, how, device="cpu")
        assert [row["widths"] for row in whole.history] == ["4", "1", "1", "1"]
        steps = math.ceil(len(ds.splits["train"]) / 64)
        with pytest.raises(killed):
            train.fit(net, ds, how, out=tmp_path / "run", device="cpu", callbacks=[kill_at(2 * steps + 1)])
        again = train.fit(net, ds, how, out=tmp_path / "run", resume=True, device="cpu", callbacks=[kill_at(-1)])
        assert without_durations(whole.history) == without_durations(again.history)
        assert bytes_of(whole.net) == bytes_of(again.net)

    def test_the_learning_rate_falls_on_from_where_it_was(
        self, run: store.Run, ds: Dataset, tmp_path: Path, kill_at: Any, killed: type[BaseException]
    ) -> None:
        """Too small a rate to learn by: only the first cycle is a new best. The kill comes between two falls."""
        how = recipe(7, epochs=1, min_delta=1.0, stall=None, lr_wait=2, settings={"lr": 1e-9})
        steps = math.ceil(len(ds.splits["train"]) / 64)
        with pytest.raises(killed):
            train.fit(run.net, ds, how, out=tmp_path / "run", device="cpu", callbacks=[kill_at(4 * steps + 1)])
        again = train.fit(run.net, ds, how, out=tmp_path / "run", resume=True, device="cpu", callbacks=[kill_at(-1)])
        rates = [1e9 * row["lr"] for row in again.history]  # type: ignore[operator]
        assert rates == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25, 0.25])


@pytest.fixture(scope="module")
def out(net: nn.Module, ds: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that kept its sizes."""
    out = tmp_path_factory.mktemp("sizes") / "run"
    train.fit(net, ds, recipe(7, sparse=True, keep_sizes=True), out=out, device="cpu")
    return out


class TestSizes:
    """Spec majority-voting-pruning, 4 (step 4): the best network of each size is stored as well."""

    def test_each_loads_alone_and_is_the_best_of_its_size(self, out: Path, ds: Dataset) -> None:
        run = store.load(out)
        table = run.evidence["pruning-best"]
        assert table.columns == ("widths", "weights", "epoch", "validation_accuracy", "kept in")  # type: ignore[attr-defined]
        assert len(table.rows) > 2  # type: ignore[attr-defined]
        assert sorted(one.name for one in (out / "sizes").iterdir()) == sorted(row[0] for row in table.rows)  # type: ignore[attr-defined]
        for widths, weights, epoch, accuracy, place in table.rows:  # type: ignore[attr-defined]
            own = [row for row in run.history if row["widths"] == widths]
            assert accuracy == max(row["validation_accuracy"] for row in own)  # type: ignore[type-var]
            assert run.history[epoch - 1] in own
            held = store.load(out / place)
            assert [held.net.classifier[at].out_features for at in (0, 2)] == [int(one) for one in widths.split("-")]  # type: ignore[union-attr, operator]
            assert sum(int(one.count_nonzero()) for one in held.net.parameters() if one.ndim > 1) <= weights
            found = train.evaluate(held, ds, split="validation", device="cpu").metrics["accuracy"]
            assert found == pytest.approx(accuracy)
            assert held.metrics["validation_accuracy"] == accuracy
            assert (held.source, held.fingerprint, len(held.lineage)) == (run.source, run.fingerprint, 1)

    def test_a_kill_changes_no_bit(
        self, net: nn.Module, ds: Dataset, out: Path, tmp_path: Path, kill_at: Any, killed: type[BaseException]
    ) -> None:
        how = recipe(7, sparse=True, keep_sizes=True)
        with pytest.raises(killed):
            train.fit(net, ds, how, out=tmp_path / "cut", device="cpu", callbacks=[kill_at(25)])
        assert any((tmp_path / "cut" / "sizes").iterdir())
        train.fit(net, ds, how, out=tmp_path / "cut", resume=True, device="cpu", callbacks=[kill_at(-1)])
        for one in (out / "sizes").iterdir():
            for name in ("model.safetensors", "run.json"):
                assert (one / name).read_bytes() == (tmp_path / "cut" / "sizes" / one.name / name).read_bytes()

    def test_by_loss(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        how = recipe(2, epochs=1, keep_sizes=True, settings={"monitor": "loss", "keep": "last"})
        run = train.fit(net, ds, how, out=tmp_path / "run", device="cpu")
        for row in run.history:
            held = store.load(tmp_path / "run" / "sizes" / str(row["widths"]))
            assert held.metrics["validation_loss"] == row["validation_loss"]

    def test_not_unasked_and_only_beside_a_run(self, net: nn.Module, ds: Dataset, tmp_path: Path) -> None:
        run = train.fit(net, ds, recipe(2, epochs=1), out=tmp_path / "run", device="cpu")
        assert not (tmp_path / "run" / "sizes").exists()
        assert run.evidence["pruning-best"].columns[-1] == "validation_accuracy"  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="give out, a folder"):
            train.fit(net, ds, recipe(1, keep_sizes=True), device="cpu")


class TestBadInput:
    def test_one_line_each(self, net: nn.Module, ds: Dataset) -> None:
        cases = [
            (dict(remove=1.0), "remove = 1.0"),
            (dict(cycle_mode="cap "), "'cap' or 'patience'"),
            (dict(criterion="majority-votes"), "majority-vote"),
            (dict(l_frac=0.0), "l_frac = 0.0"),
            (dict(layers=["classifier.1"]), "no hidden dense layer 'classifier.1'"),
            (dict(lr_factor=0.0), "lr_factor"),
            (dict(remov=0.1), "remov"),
            (dict(keep_sizes="yes"), "keep_sizes = 'yes'"),
        ]
        for options, message in cases:
            with pytest.raises(InputError, match=message) as error:
                train.fit(net, ds, recipe(1, **options), device="cpu")
            assert "\n" not in str(error.value)

    def test_no_validation_split(self, net: nn.Module, ds: Dataset) -> None:
        splits = {name: at for name, at in ds.splits.items() if name != "validation"}
        with pytest.raises(InputError, match="decides on validation"):
            train.fit(net, dataclasses.replace(ds, splits=splits), recipe(1), device="cpu")

    def test_nothing_to_prune(self, ds: Dataset) -> None:
        for net in (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), nets.build("mlp", ds, widths=(1,))):
            with pytest.raises(InputError, match="no hidden dense layer"):
                train.fit(net, ds, recipe(1), device="cpu")


def test_recipe_of_the_published_runs() -> None:
    made = iterative_recipe(cycles=100, epochs=20)
    assert (made.lr, made.batch, made.momentum, made.weight_decay, made.optimizer) == (0.006, 100, 0.9, 2e-4, "sgd")
    assert made.monitor == "accuracy"
    assert [one.name for one in iterative_recipe(votes=False, sparse=True).callbacks] == ["set"]
    with pytest.raises(InputError, match="callbacks"):
        iterative_recipe(callbacks=())
