from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

import nervure as nv
from nervure.cli import evaluate, prune
from nervure.errors import InputError, InterruptedWork
from nervure.prune.recover import fine_tune

APP = typer.Typer()
APP.command("prune")(prune.command)
APP.command("evaluate")(evaluate.command)
RUNNER = CliRunner()


def call(*arguments: object) -> Result:
    return RUNNER.invoke(APP, [str(one) for one in arguments])


def done(*arguments: object) -> str:
    found = call(*arguments)
    assert found.exit_code == 0, (found.output, found.exception)
    return found.stdout


def refused(*arguments: object) -> str:
    found = call(*arguments)
    assert isinstance(found.exception, InputError), (found.output, found.exception)
    message = str(found.exception)
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has seen the digits for an epoch."""
    path = tmp_path_factory.mktemp("runs") / "base"
    ds = nv.data.load("digits")
    net = nv.nets.build("lenet5", ds, batch_norm=True)
    nv.train.fit(net, ds, nv.train.Recipe(epochs=1, seed=0), out=path, device="cpu")
    return path


def test_prune_writes_a_run_that_other_commands_take(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    given = (base, "--criterion", "mean-activation", "--macs", "0.5", "--samples", 200, "-o", out, "--device", "cpu")
    text = done("prune", *given)
    assert "features.0" in text
    assert "accuracy" in text
    run, before = nv.store.load(out), nv.store.load(base)
    plan = nv.prune.Plan.load(out / "plan.json")
    cost = nv.nets.count(run.net, run.in_shape)
    assert (cost.params, cost.macs) == (plan.params_after, plan.macs_after)
    assert cost.macs <= 0.5 * plan.macs_before
    assert [action.name for action in run.lineage] == ["train", "prune", "recover"]
    assert run.lineage[1].settings["criteria"] == ["mean-activation"]
    assert run.lineage[1].settings["target"] == {"macs": 0.5}
    assert {"widths", "plan", "pruned", "confusion"} <= set(run.evidence)
    assert run.metrics["macs"] == cost.macs
    assert run.preprocessing == before.preprocessing
    found = json.loads(done("evaluate", out, "--json", "--device", "cpu"))
    assert found["metrics"]["accuracy"] == pytest.approx(run.metrics["accuracy"])
    again = tmp_path / "again"
    done("prune", base, "--plan", out / "plan.json", "-o", again, "--device", "cpu")
    pairs = zip(run.net.state_dict().values(), nv.store.load(again).net.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_pruned_twice_and_as_json(base: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    done("prune", base, "--keep", "0.8", "-o", first, "--device", "cpu", "-q")
    found = json.loads(done("prune", first, "--params", "0.5", "-o", second, "--json", "--device", "cpu", "-q"))
    assert found["run"] == str(second)
    assert found["params"][1] <= 0.5 * found["params"][0]
    assert list(found["metrics"]["accuracy"]) == ["before", "as cut", "recovered"]
    origin = nv.store.load(second).origin
    assert origin is not None
    assert [step.kind for step in origin.steps] == ["resize", "resize"]


def test_dry_run_prints_and_writes_nothing(base: Path, tmp_path: Path) -> None:
    before = sorted(path.relative_to(base) for path in base.rglob("*"))
    table = done("prune", base, "--keep", "0.5", "--dry-run")
    for words in ("layer", "units before", "units after", "MACs before", "why", "classifier.0", "best by l1"):
        assert words in table
    found = json.loads(
        done("prune", base, "--keep", "features.0=2", "--keep", "classifier.0=0.5", "--dry-run", "--json")
    )
    after = {layer["layer"]: layer["after"] for layer in found["layers"]}
    assert (after["features.0"], after["classifier.0"]) == (2, 60)
    assert sorted(path.relative_to(base) for path in base.rglob("*")) == before
    assert not list(tmp_path.iterdir())


def test_list_explains_every_criterion() -> None:
    rows = json.loads(done("prune", "--list", "--json"))
    assert {row["criterion"] for row in rows} == set(nv.prune.criteria.names())
    assert all(row["line"] and row["source"] for row in rows)
    assert "l1" in done("prune", "--list")


def test_settings_and_options(base: Path) -> None:
    dry = (base, "--dry-run", "--json")
    one = json.loads(done("prune", *dry, "--keep", "0.5", "--criterion", "random", "--seed", 1))
    two = json.loads(done("prune", *dry, "--keep", "0.5", "--criterion", "random", "--set", "seed=1"))
    assert one == two
    whole = json.loads(done("prune", *dry, "--keep", "0.5", "--exclude", "classifier", "--round-to", 2))
    assert {row["layer"]: row["after"] for row in whole["layers"]} == {
        "features.0": 2, "features.4": 8, "classifier.0": 120, "classifier.3": 84, "classifier.6": 10,
    }  # fmt: skip
    mixed = json.loads(
        done("prune", *dry, "--macs", 50_000, "--criterion", "l1", "--criterion", "fpgm", "--ranking", "global")
    )
    assert mixed["macs"][1] <= 50_000
    assert "l1 and fpgm" in mixed["layers"][0]["why"] or "whole" in mixed["layers"][0]["why"]


def test_accuracy_and_latency_targets(base: Path) -> None:
    found = json.loads(done("prune", base, "--accuracy-drop", "5", "--dry-run", "--json"))
    assert 2 <= len(found["trials"]) <= 6
    best = min((one for one in found["trials"] if one["fits"]), key=lambda one: one["units"])
    assert found["macs"][1] == best["macs"]
    found = json.loads(done("prune", base, "--latency", "1.0", "--dry-run", "--json"))
    assert found["latency_ms"][0] > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "say where to write the run: -o OUT"),
        (("--dry-run",), "give exactly one of"),
        (("--macs", "0.5", "--keep", "0.5", "--dry-run"), "found keep and macs"),
        (("--macs", "half", "--dry-run"), "--macs 'half': give a share such as 0.5"),
        (("--keep", "0,7", "--dry-run"), "--keep '0,7': give a share such as 0.5, or a whole number; 0.7, not 0,7"),
        (("--keep", "features.0=0,700", "--dry-run"), "0.700, not 0,700"),
        (("--params", "10,00", "--dry-run"), "--params '10,00': give a share"),
        (("--macs", "1,0000", "--dry-run"), "--macs '1,0000': give a share"),
        (("--macs", "0", "--dry-run"), "macs=0"),
        (("--macs", "99999999", "--dry-run"), "the network has"),
        (("--keep", "0.5", "--criterion", "l3", "--dry-run"), "unknown criterion 'l3'; did you mean 'l"),
        (
            ("--keep", "0.5", "--set", "sed=1", "--criterion", "random", "--dry-run"),
            "no setting 'sed'; did you mean 'seed'",
        ),
        (
            ("--keep", "0.5", "--set", "l_frac=abc", "--criterion", "majority-vote", "--dry-run"),
            "criterion 'majority-vote': l_frac = 'abc'; give a valid number",
        ),
        (
            ("--keep", "0.5", "--set", "runs=abc", "--criterion", "ssim-kmeans", "--dry-run"),
            "criterion 'ssim-kmeans': runs = 'abc'; give a valid integer",
        ),
        (
            ("--keep", "0.5", "--set", "_places=1", "--criterion", "hrank", "--dry-run"),
            "criterion 'hrank' has no setting '_places'",
        ),
        (("--keep", "scenario-c", "--dry-run"), "target keep='scenario-c': the criterion does not say how many"),
        (("--keep", "0.5", "--ranking", "worldwide", "--dry-run"), "take layer or global"),
        (("--keep", "0.5", "--exclude", "features.9", "--dry-run"), "exclude: no layer 'features.9'"),
        (("--keep", "0.5", "--keep", "0.6", "--dry-run"), "LAYER=SHARE"),
        (("--keep", "feature.0=3", "--dry-run"), "did you mean 'features.0'"),
        (("--plan", "none.json", "--dry-run"), "none.json: cannot be read"),
        (("--plan", "none.json", "--macs", "0.5", "--dry-run"), "leave out --macs"),
        (("--keep", "0.5", "--device", "tpu", "--dry-run"), "tpu"),
    ],
)
def test_bad_input_is_one_line(base: Path, given: tuple[str, ...], said: str) -> None:
    assert said in refused("prune", base, *given)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("7", 7), ("0.7", 0.7), ("1,000", 1000), ("12,345,678", 12345678), ("1_000", 1000), ("1.0", 1.0)],
)
def test_amounts(text: str, amount: float) -> None:
    found = prune._amount(text, "--macs")
    assert found == amount and type(found) is type(amount)


def test_no_run_and_an_output_that_exists(base: Path, tmp_path: Path) -> None:
    assert "say which run to prune" in refused("prune", "--macs", "0.5")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "run.json").touch()
    assert "--overwrite" in refused("prune", base, "--keep", "0.5", "-o", tmp_path / "there")
    assert "is the run itself, which would be lost" in refused(
        "prune", base, "--keep", "0.5", "-o", base, "--overwrite"
    )
    assert "give one of the two" in refused(
        "prune", base, "--keep", 0.5, "-o", tmp_path / "x", "--overwrite", "--resume"
    )
    assert "--keep 1 would leave a single one; write 1.0" in refused("prune", base, "--keep", "1", "--dry-run")
    given = ("--keep", "0.5", "--recover", "none", "--recover-set", "samples=3", "--dry-run")
    assert "has no say with --recover none" in refused("prune", base, *given)
    assert "none" in refused("prune", tmp_path / "none", "--keep", "0.5", "--dry-run")
    other = tmp_path / "other"
    ds = nv.data.load("digits")
    nv.store.save(other, nv.store.Run.of(nv.nets.build("lenet-300-100", ds), ds))
    plan = tmp_path / "plan.json"
    run = nv.store.load(base)
    nv.prune.plan(run.net, ds, "l1", nv.prune.Target(keep=0.5)).save(plan)
    assert "this plan is for another network" in refused("prune", other, "--plan", plan, "-o", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    done("prune", base, "--keep", "0.9", "-o", tmp_path / "new", "-q", "--device", "cpu")
    done("prune", base, "--keep", "0.5", "-o", tmp_path / "new", "--overwrite", "-q", "--device", "cpu")
    assert nv.prune.Plan.load(tmp_path / "new" / "plan.json").target.keep == 0.5


def test_a_search_is_kept_beside_the_run_and_gone_on_with(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    given = (base, "--criterion", "ssim-kmeans", "--keep", "0.5", "--exclude", "classifier", "-o", out, "-q")
    done("prune", *given)
    assert (tmp_path / "small.search" / "ssim-kmeans" / "features.0.npz").is_file()
    assert "give --resume to go on with it" in refused("prune", *given)
    done("prune", *given, "--resume")
    nv.store.folder.discard(out)
    assert "small.search holds a search; give --resume" in refused("prune", *given)
    done("prune", *given, "--resume")
    done("prune", *given, "--overwrite")
    assert nv.store.folder.is_run(out)


def test_a_finished_run_is_printed_again_and_another_request_refused(base: Path, tmp_path: Path) -> None:
    keep, further = ("--keep", "0.75"), ("--samples", 100, "--device", "cpu", "-q", "-o", tmp_path / "small")
    given = (base, *keep, *further)
    done("prune", *given)
    found = json.loads(done("prune", *given, "--resume", "--json"))
    run, plan = nv.store.load(tmp_path / "small"), nv.prune.Plan.load(tmp_path / "small" / "plan.json")
    assert (found["run"], found["macs"]) == (str(tmp_path / "small"), [plan.macs_before, plan.macs_after])
    assert found["metrics"]["accuracy"]["recovered"] == run.metrics["accuracy"]
    assert "as cut" in done("prune", *given, "--resume")
    for options, said in (
        (
            ("--keep", "0.25"),
            "small was made with other settings: target: {'keep': 0.75} is not {'keep': 0.25}; give --ov",
        ),
        (("--criterion", "random"), "criteria: ['l1'] is not ['random']"),
        (("--criterion", "random", "--set", "seed=3"), "set: {} is not {'seed': 3}"),
        (("--samples", "50"), "samples: 100 is not 50"),
        (("--round-to", "2"), "round_to: None is not 2"),
        (("--exclude", "classifier"), "exclude: [] is not ['classifier']"),
        (("--seed", "1"), "seed: 0 is not 1"),
        (("--recover", "none"), "recover: ['kernel-estimation', 'batch-norm'] is not ['none']"),
        (("--recover-set", "samples=50"), "recover_options: {} is not {'samples': 50}"),
        (("--data-option", "test=0.5"), "small was made on other data (the fingerprints differ); give --overwrite"),
    ):
        assert said in refused("prune", base, *(() if "--keep" in options else keep), *further, "--resume", *options)
    plan.save(tmp_path / "plan.json")
    planned = ("--plan", tmp_path / "plan.json", "--device", "cpu", "-q", "--resume", "-o")
    assert "plan: None is not " in refused("prune", base, *planned, tmp_path / "small")
    done("prune", base, *planned, tmp_path / "planned")
    assert "features.0" in done("prune", base, *planned, tmp_path / "planned")
    assert "plan: " in refused("prune", *given[:-1], tmp_path / "planned", "--resume")


def test_a_run_of_another_network_is_not_gone_on_with(base: Path, tmp_path: Path) -> None:
    given = ("--keep", "0.75", "--recover", "none", "--device", "cpu", "-q", "-o", tmp_path / "small")
    done("prune", base, *given)
    run = nv.store.load(base)
    with torch.no_grad():
        next(run.net.parameters())[0] += 1e-3
    nv.store.save(tmp_path / "other", run)
    assert "small was made with other settings: weights: " in refused("prune", tmp_path / "other", *given, "--resume")
    nv.store.save(tmp_path / "trained", nv.store.load(base))
    said = refused("prune", base, *given[:-1], tmp_path / "trained", "--resume")
    assert said == f"{tmp_path / 'trained'} holds a run that was not pruned; give --overwrite to replace it"


def test_the_device_reaches_planning_and_repair(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def heard(real: Callable[..., object]) -> Callable[..., object]:
        def told(*arguments: object, **options: object) -> object:
            asked.append(options["device"])
            return real(*arguments, **options)

        return told

    monkeypatch.setattr(nv.prune, "plan", heard(nv.prune.plan))
    monkeypatch.setattr(importlib.import_module("nervure.prune.recover"), "recover", heard(nv.prune.recover))
    done("prune", base, "--keep", "0.5", "--device", "cpu", "-q", "-o", tmp_path / "small")
    assert asked == ["cpu", "cpu"]


@pytest.mark.parametrize(
    "options",
    [("--criterion", "l1"), ("--exclude", "nope"), ("--ranking", "foo"), ("--keep", "0.5"), ("--no-shortcuts",)],
)
def test_options_of_planning_are_refused_beside_a_plan(base: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    path = nv.prune.plan(nv.store.load(base).net, None, "l1", nv.prune.Target(keep=0.5)).save(tmp_path / "plan.json")
    said = refused("prune", base, "--plan", path, *options, "-o", tmp_path / "out")
    assert said.startswith("--plan already says what stays; leave out --")


def test_recovery_of_an_accuracy_drop_is_in_the_plan(base: Path, tmp_path: Path) -> None:
    given = (base, "--accuracy-drop", "50", "--recover", "bias", "-o", tmp_path / "out", "--device", "cpu", "-q")
    done("prune", *given)
    assert nv.prune.Plan.load(tmp_path / "out" / "plan.json").target.recover == ("bias",)


SETTINGS = ("--recover-set", "samples=50", "--recover-set", "ridge=0.01", "--recover-set", "recipe.epochs=2")


def test_a_repair_with_settings_is_in_the_record(base: Path, tmp_path: Path) -> None:
    methods = ("--recover", "kernel-estimation", "--recover", "fine-tune")
    given = (base, "--keep", "0.5", *methods, *SETTINGS, "-o", tmp_path / "out", "--device", "cpu", "--seed", 3)
    found = call("prune", *given)
    assert found.exit_code == 0, found.exception
    assert [line.split("  ")[0] for line in found.stderr.splitlines() if "epoch" in line] == ["epoch 1/2", "epoch 2/2"]
    action = nv.store.load(tmp_path / "out").lineage[-1]
    assert (action.name, action.seed, action.settings["methods"]) == ("recover", 3, [*methods[1::2]])
    options = {"samples": 50, "ridge": 0.01, "recipe": {"epochs": 2}}
    assert action.settings["options"] == options
    run, again = nv.store.load(base), nv.store.load(tmp_path / "out")
    ds = nv.data.load("digits")
    plan = nv.prune.Plan.load(tmp_path / "out" / "plan.json")
    mended = nv.prune.recover(
        plan.apply(run.net), run.net, ds, method=methods[1::2], kept=plan, seed=3, **options
    )  # what the record says is enough to do it again
    assert all(map(torch.equal, mended.state_dict().values(), again.net.state_dict().values()))


def test_a_search_for_accuracy_repairs_with_the_same_settings(base: Path, tmp_path: Path) -> None:
    given = (base, "--accuracy-drop", "5", "--recover", "kernel-estimation", "--device", "cpu", "-q")
    done("prune", *given, "--recover-set", "samples=5", "--recover-set", "ridge=100", "-o", tmp_path / "weak")
    plan = nv.prune.Plan.load(tmp_path / "weak" / "plan.json")
    assert plan.target.recover_options == {"samples": 5, "ridge": 100}
    run, ds = nv.store.load(base), nv.data.load("digits")
    assert nv.prune.plan(run.net, ds, "l1", plan.target).trials == plan.trials
    done("prune", *given, "-o", tmp_path / "usual")
    assert nv.prune.Plan.load(tmp_path / "usual" / "plan.json").trials != plan.trials


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("ridge",), "--recover-set 'ridge': write it as key=value"),
        (("rigde=1",), "no option 'rigde'; did you mean 'ridge'"),
        (("ridge=big",), "ridge = 'big'; give a valid number"),
        (("samples=0",), "samples = 0"),
        (("recipe.epoch=5",), "recipe: unknown field 'epoch'; did you mean 'epochs'"),
        (("recipe.epochs=few",), "recipe: epochs"),
        (("recipe=5",), "recipe = 5"),
        (("recipe=5", "recipe.epochs=5"), "recipe is already set as a whole"),
        (("recipe.epochs=5", "recipe=5"), "some of it is already set"),
        (("seed=5",), "no option 'seed'"),
    ],
)
def test_bad_settings_of_a_repair_are_told_before_any_work(
    tmp_path: Path, settings: tuple[str, ...], said: str
) -> None:
    given = [one for setting in settings for one in ("--recover-set", setting)]
    methods = ("--recover", "kernel-estimation", "--recover", "fine-tune")
    # there is no such run: the settings are looked at before it is
    assert said in refused("prune", tmp_path / "none", "--keep", "0.5", *methods, *given, "-o", tmp_path / "out")


@pytest.mark.parametrize("criterion", ["l1", "ssim-kmeans"])
def test_after_ctrl_c_no_run_is_left_and_what_is_kept_is_said(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, criterion: str
) -> None:
    def fit(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tune, "fit", fit)
    given = (base, "--keep", "0.5", "--criterion", criterion, "--recover", "fine-tune", "--exclude", "classifier")
    found = call("prune", *given, "-o", tmp_path / "out")
    assert isinstance(found.exception, InterruptedWork)
    kept = "the same command starts anew" if criterion == "l1" else "out.search keeps what was searched; go on with --"
    assert "no run was written; " in str(found.exception) and kept in str(found.exception)
    assert [path.name for path in tmp_path.iterdir()] == ([] if criterion == "l1" else ["out.search"])


def test_zeros_of_a_sparse_run_are_told_of_where_recovery_fills_them(base: Path, tmp_path: Path) -> None:
    run = nv.store.load(base)
    mask = nv.sparsify.plan(run.net, nv.data.load("digits"), criterion="magnitude", sparsity=0.5)
    run.net = mask.apply(run.net)
    nv.store.save(tmp_path / "masked", run)
    given = ("prune", tmp_path / "masked", "--keep", "0.5", "--device", "cpu", "-o")
    found = call(*given, tmp_path / "filled")
    assert found.exit_code == 0, found.exception
    assert "the masks beside its weights are made zeros for good" in found.output
    assert "recovery fills them; prune before you sparsify, or give --recover none" in found.output
    assert "recovery fills them" not in call(*given, tmp_path / "zeros", "--recover", "none").output


@pytest.mark.parametrize(
    "methods", [["none"], ["kernel-estimation"], ["fine-tune"], ["kernel-estimation", "fine-tune"]]
)
def test_channel_pruning_by_votes_under_each_policy_of_recovery(base: Path, tmp_path: Path, methods: list[str]) -> None:
    """Spec majority-voting-pruning, 11: votes of images, 0.7 kept, and what is said of each layer."""
    tune = ("--recover-set", "recipe.epochs=1") if "fine-tune" in methods else ()
    given = [one for name in methods for one in ("--recover", name)]
    out = tmp_path / "small"
    found = json.loads(
        done(
            "prune", base, "--criterion", "iou-vote", "--keep", "0.7", "--exclude", "classifier", "--samples", 100,
            *given, *tune, "-o", out, "--json", "--device", "cpu", "-q",
        )
    )  # fmt: skip
    plan, layers = nv.prune.Plan.load(out / "plan.json"), {row["layer"]: row for row in found["layers"]}
    whole, run = nv.store.load(base), nv.store.load(out)
    for layer in ("features.0", "features.4"):
        row = layers[layer]
        assert tuple(row["kept"]) == plan.kept[layer] and len(row["kept"]) == row["after"]
        assert row["after"] == int(0.7 * row["before"] + 1e-9)
        judged = row["judged"]["iou-vote"]
        votes, mean = judged["scores"], judged["mean_iou"]
        assert judged["images"] + judged["skipped"] == 100 and 0 < mean < 1
        assert sum(votes) == judged["images"] * -(-row["before"] // 5)  # each image has a fifth, rounded up
        assert min(votes[unit] for unit in row["kept"]) >= max(
            votes[unit] for unit in range(row["before"]) if unit not in row["kept"]
        )
        assert row["macs_nominal"] == round(row["macs_before"] * row["after"] / row["before"])
        assert row["macs_after"] <= row["macs_nominal"]
    assert (
        sum(row["macs_after"] for row in layers.values())
        == found["macs"][1]
        == nv.nets.count(run.net, run.in_shape).macs
    )
    assert found["macs"][0] == nv.nets.count(whole.net, whole.in_shape).macs
    assert list(found["metrics"]["accuracy"]) == ["before", "as cut", "recovered"]
    errors = {layer: row["repairs"] for layer, row in layers.items()}
    assert [layer for layer, told in errors.items() if told] == (
        ["features.4", "classifier.0"] if "kernel-estimation" in methods else []
    )
    assert all(one["error"] <= one["error_as_cut"] for told in errors.values() for one in told)
