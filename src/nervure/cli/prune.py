"""``nervure prune``: a smaller network from a run, as another run."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from nervure.cli import complete
from nervure.cli import options as opt
from nervure.cli.common import (
    apart,
    check_device,
    claim,
    load_run,
    nested,
    pairs,
    refuse_options,
    say_where,
    set_threads,
    to_agree,
    typed,
)
from nervure.cli.console import judging_bar, print_figure, print_json, print_rows, print_table, say, training_bar
from nervure.cli.samples import data_of
from nervure.errors import InputError, InterruptedWork

if TYPE_CHECKING:
    from torch import nn

    from nervure.data import Dataset
    from nervure.evidence import Figure
    from nervure.judge import Criterion
    from nervure.prune import Plan
    from nervure.prune.recover import Kept, Repair
    from nervure.store import Run


_PLANNING = (
    "criterion", "ranking", "exclude", "shortcuts", "round_to", "rounding", "combine", "settings", "samples", "batch",
)  # fmt: skip


def command(
    context: typer.Context,
    run: Annotated[Path | None, typer.Argument(help="A run's folder.", metavar="RUN")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to write the run to.", metavar="FOLDER")
    ] = None,
    criterion: Annotated[
        list[str] | None,
        typer.Option(
            help="How units are judged: see --list; repeat to combine; l1 if not given.",
            metavar="NAME",
            autocompletion=complete.rows("prune/criteria/__init__.py", "criterion"),
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Units that stay: a share, a number, LAYER=SHARE (repeatable), or natural, scenario-b, scenario-c.",
            metavar="SHARE",
        ),
    ] = None,
    macs: Annotated[
        str | None, typer.Option(help="Multiply-adds that stay: a share, or a number.", metavar="SHARE")
    ] = None,
    params: Annotated[
        str | None, typer.Option(help="Parameters that stay: a share, or a number.", metavar="SHARE")
    ] = None,
    latency: Annotated[
        float | None, typer.Option(help="Share of the time of a call that stays, on the CPU.", metavar="SHARE")
    ] = None,
    latency_ms: Annotated[float | None, typer.Option(help="Milliseconds of a call, on the CPU.", metavar="X")] = None,
    accuracy_drop: Annotated[
        float | None, typer.Option(help="Points of validation accuracy that may be lost.", metavar="X")
    ] = None,
    recover: Annotated[
        list[str] | None,
        typer.Option(
            help="How the cut network is repaired, in order: kernel-estimation and batch-norm if not given; none.",
            metavar="NAME",
            autocompletion=complete.rows("prune/recover/__init__.py", "recovery"),
        ),
    ] = None,
    recover_set: opt.RecoverSet = None,
    ranking: Annotated[
        str, typer.Option(help="layer: the same share of each; global: all units together.", metavar="NAME")
    ] = "layer",
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="A layer, or a module of layers, that stays whole; repeatable.", metavar="LAYER"),
    ] = None,
    shortcuts: Annotated[bool, typer.Option(help="Whether residual streams take part.", metavar="")] = True,
    round_to: Annotated[
        int | None,
        typer.Option(help="Widths become multiples of it; 8 for latency, else 1.", metavar="N", min=1),
    ] = None,
    rounding: Annotated[
        str, typer.Option(help="Of kept shares: floor, or round to the nearest.", metavar="NAME")
    ] = "floor",
    combine: Annotated[str, typer.Option(help="Several criteria by rank, or by vote.", metavar="NAME")] = "rank",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the criterion; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Training samples to judge on, over all classes.", metavar="N", min=1)
    ] = 1000,
    batch: Annotated[int, typer.Option(help="Samples at a time.", metavar="N", min=1)] = 128,
    plan: Annotated[
        Path | None, typer.Option(help="A plan.json to apply in place of planning.", metavar="FILE")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would stay, and write nothing.", metavar="")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the criteria, and stop.", metavar="")] = False,
    data: opt.DataSource = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    net: opt.NetFunction = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Remove the units that matter least by the evidence, repair what is left, and write the smaller network as a run.

    The repair reads 200 training samples and no labels, unless --recover and --recover-set say otherwise. The plan,
    with a reason for every layer, is kept beside it as plan.json. A clusterer is measured by how many samples stay in
    the cluster that they had before the cut; that is what --accuracy-drop then means.

    What ssim-kmeans and its kin or ablation search is kept in OUT.search; after Ctrl-C the same command with
    --resume goes on from it. Of a finished run it prints the result again, and another command is refused.

    Examples:

    $ nervure prune runs/base --macs 0.5 -o runs/small

    $ nervure prune runs/base --criterion majority-vote --keep 0.7 --dry-run

    $ nervure prune runs/base --keep 0.5 --recover fine-tune --recover-set recipe.epochs=5 -o runs/tuned

    $ nervure prune --list
    """
    if list_:
        print_rows("criterion", complete.table("prune/criteria/__init__.py", "criterion").rows, json_)
        return
    if run is None:
        raise InputError("say which run to prune, as in: nervure prune runs/base --macs 0.5 -o runs/small")
    if out is None and not dry_run:
        raise InputError("say where to write the run: -o OUT, or --dry-run to write nothing")
    from nervure import prune
    from nervure.nets.digest import weights_digest
    from nervure.prune.recover import check
    from nervure.prune.runs import pruned_run, save_pruned
    from nervure.sparsify.masked import bake, masks_of
    from nervure.store import folder
    from nervure.store.record import digest_of

    set_threads(threads)
    check_device(device)
    methods = recover or ["kernel-estimation", "batch-norm"]
    mending = nested(recover_set, "--recover-set")
    check(methods, **mending)  # type: ignore[arg-type]
    if mending and set(methods) == {"none"}:
        raise InputError("--recover-set has no say with --recover none; leave out one of the two")
    searched = None if out is None or dry_run else out.with_name(f"{out.name}.search")
    if out is not None and searched is not None:
        apart(out, run)
        claim(out, resume=resume, overwrite=overwrite)
        _claim_search(searched, resume, overwrite)
    given: dict[str, Any] = {
        "macs": _amount(macs, "--macs"), "params": _amount(params, "--params"), "keep": _keep(keep),
        "latency": latency, "latency_ms": latency_ms, "accuracy_drop": accuracy_drop,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if plan is not None:
        refuse_options(context, {*given, *_PLANNING}, "--plan already says what stays")
    if accuracy_drop is not None:
        given |= {"recover": tuple(methods), "recover_options": mending}
    target = None if plan is not None else prune.Target(**given)
    saved = None if plan is None else prune.Plan.load(plan)
    held = load_run(run, net)
    if masks_of(held.net):
        held.net = bake(held.net)
        say("the masks beside its weights are made zeros for good", quiet=quiet)
    given_data = data_of(held, data, data_dir, pairs(data_option, "--data-option"))
    asked: dict[str, object] = {
        "weights": weights_digest(held.net, None)[:16], "plan": saved and digest_of(saved.model_dump(mode="json")),
        "seed": seed, "recover": methods, "recover_options": mending,
    }  # fmt: skip
    how: dict[str, Any] = {
        "exclude": exclude or [], "ranking": _one_of("--ranking", ranking, ("layer", "global")),
        "shortcuts": shortcuts, "round_to": round_to, "rounding": _one_of("--rounding", rounding, ("floor", "round")),
        "combine": _one_of("--combine", combine, ("rank", "vote")), "samples": samples,
    }  # fmt: skip
    if target is not None:
        by = {"criteria": criterion or ["l1"], "set": pairs(settings, "--set")}
        asked |= {"target": target.model_dump(exclude_defaults=True), **by, **how}
    if out is not None and not dry_run and resume and folder.is_run(out):
        _finished(out, net, asked, given_data.fingerprint, json_, quiet)
        return
    ds = to_agree(held, given_data, seed, device)
    if accuracy_drop and "validation" in ds.splits and (one := 100 / len(ds.indices("validation"))) > accuracy_drop:
        say(f"of validation one sample is {one:.1f} points: a drop of {accuracy_drop:g} allows none", quiet=quiet)
    mend = _mender(methods, mending, seed, device, quiet)
    if saved is not None:
        made = saved
    else:
        with judging_bar(quiet) as bar, _interruptible(searched):
            made = prune.plan(
                held.net, ds, _criteria(criterion, settings, seed), target, seed=seed, batch=batch, recover=mend,
                searched=searched, device=device, progress=bar, **how,
            )  # fmt: skip
    if dry_run:
        made.check(held.net)
        _show(made, json_)
        return
    assert out is not None
    small = made.apply(held.net, ds.batch(ds.indices("train")[:3]).x)
    kept = made if made.applied is None else made.applied
    repairs: list[Repair] = []
    with _interruptible(searched):
        mended = mend(small, held.net, ds, kept, repairs.append)
    if _zeros(small) - _zeros(mended) > 0.01:
        shares = f"{_zeros(small):.0%} of the weights were zeros, {_zeros(mended):.0%} are"
        say(f"{shares}: recovery fills them; prune before you sparsify, or give --recover none", quiet=quiet)
    done = pruned_run(
        held, ds, kept, small, mended, methods=methods, options=mending, seed=seed, repairs=repairs, asked=asked,
        device=device, command=typed(context),
    )  # fmt: skip
    if held.task == "clustering":
        _agreement(done, given_data, device)
    save_pruned(out, done, kept, overwrite=overwrite or resume)
    _show(kept, json_, out, done.evidence["pruned"], repairs)
    say_where(out, net, quiet=quiet)


def _finished(
    out: Path, net: str | None, asked: Mapping[str, object], fingerprint: str, json_: bool, quiet: bool
) -> None:
    """Print the result of the run that is there; one of another request is refused."""
    from nervure.prune import Plan
    from nervure.prune.runs import check_asked

    done = load_run(out, net)
    last = done.lineage[-2:]
    if [action.name for action in last] != ["prune", "recover"]:
        raise InputError(f"{out} holds a run that was not pruned; give --overwrite to replace it")
    check_asked(done, last[0], asked, fingerprint)
    _show(Plan.load(out / "plan.json"), json_, out, done.evidence["pruned"])
    say_where(out, net, quiet=quiet, finished=True)


def _mender(
    methods: Sequence[str], options: Mapping[str, object], seed: int, device: str, quiet: bool
) -> Callable[..., nn.Module]:
    """The repair ``(small, net, ds, kept, tell)``, the same in a search and at the end, which tells of its training."""
    from nervure.prune.recover import recover

    how: dict[str, Any] = {**options, "method": methods, "seed": seed, "device": device}

    def mend(
        small: nn.Module, net: nn.Module, ds: Dataset, kept: Plan | Kept, tell: Callable[[Repair], None] | None = None
    ) -> nn.Module:
        with training_bar(quiet) as bar:
            return recover(small, net, ds, kept=kept, tell=tell, progress=bar, **how)

    return mend


@contextlib.contextmanager
def _interruptible(searched: Path | None) -> Iterator[None]:
    """Say after Ctrl-C what is left: no run, but what was searched, if anything."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"{searched} keeps what was searched; go on with --resume" if searched and searched.exists() else ""
        raise InterruptedWork(
            f"interrupted, and no run was written; {kept or 'the same command starts anew'}"
        ) from None


def _zeros(net: nn.Module) -> float:
    """The share of zeros among the weights, biases and norms aside."""
    weights = [one for one in net.parameters() if one.ndim > 1]
    return sum(int((one == 0).sum()) for one in weights) / max(1, sum(one.numel() for one in weights))


def _claim_search(folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse an earlier search unless it is to be gone on with; remove it if it is to be replaced."""
    if not folder.exists() or resume:
        return
    if not overwrite:
        raise InputError(f"{folder} holds a search; give --resume to go on with it, or --overwrite to replace it")
    import shutil

    shutil.rmtree(folder)


def _agreement(done: Run, ds: Dataset, device: str) -> None:
    """Call a cut clusterer's accuracy what it is, and measure it by the data's own labels, if it has any."""
    from nervure.evidence import Table
    from nervure.train import evaluate

    done.metrics = {"agreement" if name == "accuracy" else name: value for name, value in done.metrics.items()}
    table = done.evidence["pruned"]
    assert isinstance(table, Table)
    split = next(name for name in ("test", "train") if name in ds.splits)
    found = evaluate(done.net, ds, split=split, device=device)
    # The table is of samples held out of recovery; what clusters are like is told of all that the run is measured on.
    clusters = {name: value for name, value in found.metrics.items() if name not in ("parameters", "macs", "accuracy")}
    rows = [("agreement", *row[1:]) if row[0] == "accuracy" else row for row in table.rows if row[0] not in clusters]
    done.evidence["pruned"] = dataclasses.replace(table, rows=rows)
    done.metrics |= clusters
    done.evidence |= {name: one for name, one in found.evidence.items() if name == "matched"}


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise InputError(f"{option} {value!r}; take {' or '.join(allowed)}")
    return value


def _amount(text: str | None, option: str) -> int | float | None:
    """``"0.5"`` is a share, ``"200"`` a number, in which commas may stand between thousands."""
    if text is None:
        return None
    plain = text.replace(",", "") if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", text) else text
    if plain == "1":
        raise InputError(f"{option} 1 would leave a single one; write 1.0 for all, or LAYER=1 for one unit of a layer")
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(plain)
    hint = f"; {text.replace(',', '.')}, not {text}" if re.fullmatch(r"0,\d+", text) else ""
    raise InputError(f"{option} {text!r}: give a share such as 0.5, or a whole number{hint}")


def _keep(given: list[str] | None) -> int | float | str | dict[str, Any] | None:
    if not given:
        return None
    from nervure.prune.target import Wish

    if given[0] in get_args(Wish) and len(given) == 1:
        return given[0]
    if len(given) == 1 and "=" not in given[0]:
        return _amount(given[0], "--keep")
    if missing := [one for one in given if "=" not in one]:
        raise InputError(f"--keep {missing[0]!r}: give one share for all layers, or LAYER=SHARE for each")
    named = (one.rpartition("=") for one in given)
    return {layer: 1 if amount == "1" else _amount(amount, "--keep") for layer, _, amount in named}


def _criteria(names: list[str] | None, settings: list[str] | None, seed: int) -> str | list[str] | Criterion:
    from nervure.prune import criteria

    asked = names or ["l1"]
    options = pairs(settings, "--set")
    if not options:
        return asked[0] if len(asked) == 1 else asked
    if len(asked) > 1:
        raise InputError("--set goes with one criterion; give one --criterion")
    return criteria.make(asked[0], seed, options)


def _show(
    plan: Plan, json_: bool, out: Path | None = None, measures: Figure | None = None, repairs: Sequence[Repair] = ()
) -> None:
    """The plan's table, and what was measured, on stdout."""
    from nervure.evidence import Table
    from nervure.prune.runs import told

    columns, rows = (measures.columns, measures.rows) if isinstance(measures, Table) else ((), ())
    if json_:
        found = {str(row[0]): dict(zip(columns[1:], row[1:], strict=True)) for row in rows}
        print_json({"run": None if out is None else str(out), **told(plan, repairs), "metrics": found})
        return
    print_figure(plan.table())
    if plan.trials:
        tried = [
            (
                one.share,
                one.units,
                one.params,
                one.macs,
                one.accuracy,
                one.drop,
                one.latency_ms,
                "yes" if one.fits else "no",
            )
            for one in plan.trials
        ]
        print_table(("share", "units", "parameters", "MACs", "accuracy", "drop", "ms", "fits"), tried, "Trials")
    if rows:
        print_table(columns, rows, str(out))
