"""``nervure sparsify``: a network with fewer edges from a run, as another run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nervure.cli import complete
from nervure.cli import options as opt
from nervure.cli.common import (
    apart,
    check_device,
    check_file,
    claim,
    load_run,
    pairs,
    say_where,
    set_threads,
    to_agree,
    typed,
)
from nervure.cli.console import print_rows
from nervure.cli.samples import data_of
from nervure.cli.sparsify_work import finished, judged, show, trained, unusual, write
from nervure.cli.train import make_recipe
from nervure.errors import InputError

EDGES, TRAINING = "Which edges", "With --train"


def command(
    context: typer.Context,
    run: Annotated[Path | None, typer.Argument(help="A run's folder.", metavar="RUN")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to write the run to.", metavar="FOLDER")
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="How edges are judged: see --list; isparse if not given.",
            metavar="NAME",
            autocompletion=complete.rows("sparsify/criteria/__init__.py", "edge criterion"),
        ),
    ] = None,
    sparsity: Annotated[
        list[str] | None,
        typer.Option(help="Share of edges to remove, 0.5 if not given, or LAYER=SHARE, repeatable.", metavar="SHARE"),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Also drop units that lost their edges, as real shapes.", metavar="")
    ] = False,
    keep_mask: Annotated[
        bool,
        typer.Option("--keep-mask/--bake", help="Keep all weights with masks beside; else zeros, packed.", metavar=""),
    ] = False,
    mask: Annotated[
        Path | None, typer.Option(help="A saved mask to apply in place of judging.", metavar="FILE")
    ] = None,
    save_mask: Annotated[
        Path | None, typer.Option(help="Also save the mask here, as FILE.json and FILE.safetensors.", metavar="FILE")
    ] = None,
    times: Annotated[
        bool, typer.Option("--times", help="Also time layers dense and sparse on this machine.", metavar="")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would stay, and write no run.", metavar="")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the criteria, and stop.", metavar="")] = False,
    ranking: Annotated[
        str,
        typer.Option(
            help="layer: the same share of each; global: all edges together.",
            metavar="NAME",
            rich_help_panel=EDGES,
        ),
    ] = "layer",
    order: Annotated[
        str,
        typer.Option(
            help="Of layers: input-to-output, output-to-input or random.", metavar="NAME", rich_help_panel=EDGES
        ),
    ] = "input-to-output",
    pattern: Annotated[
        str | None,
        typer.Option(help="N:M, such as 2:4: of every 4 neighbours 2 stay.", metavar="N:M", rich_help_panel=EDGES),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this layer, or this module of layers; repeatable.", metavar="LAYER", rich_help_panel=EDGES
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="A layer, or a module of layers, that keeps every edge; repeatable.",
            metavar="LAYER",
            rich_help_panel=EDGES,
        ),
    ] = None,
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Let a layer lose all of its edges.", metavar="", rich_help_panel=EDGES),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the criterion; repeatable.", metavar="KEY=VALUE", rich_help_panel=EDGES
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Training samples to look at.", metavar="N", min=1, rich_help_panel=EDGES)
    ] = 2000,
    train: Annotated[
        bool,
        typer.Option(
            "--train", help="Train on, and judge anew after each epoch.", metavar="", rich_help_panel=TRAINING
        ),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(help="How long; 10 if not given.", metavar="N", rich_help_panel=TRAINING)
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Samples a step; 128 if not given.", metavar="N", rich_help_panel=TRAINING)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate; 0.001 if not given.", metavar="X", rich_help_panel=TRAINING)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="sgd, adam, adamw or rmsprop; adam if not given.",
            metavar="NAME",
            autocompletion=complete.choices("train/recipe.py", "optimizer"),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A recipe as JSON; options given here win over it.", metavar="FILE", rich_help_panel=TRAINING
        ),
    ] = None,
    warm_up: Annotated[
        int | None,
        typer.Option(
            help="Epochs before the first mask; 1 if not given.", metavar="N", min=0, rich_help_panel=TRAINING
        ),
    ] = None,
    refresh: Annotated[
        int | None,
        typer.Option(
            help="Epochs between two choices; 1 if not given, 0 for one choice.",
            metavar="N",
            min=0,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    ramp: Annotated[
        str | None,
        typer.Option(
            help="none: the whole sparsity at once; linear: in steps.", metavar="NAME", rich_help_panel=TRAINING
        ),
    ] = None,
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
    """Remove the edges that do least to the output, and write the network as a run whose file is really smaller.

    Removed edges are zeros for good, packed on disk; --keep-mask keeps their weights beside a mask. The mask itself is
    mask.json in the run. With --train the run's network is trained on while edges go; its first weights are the run's.

    Examples:

    $ nervure sparsify runs/base --criterion isparse --sparsity 0.5 -o runs/thin

    $ nervure sparsify runs/base --sparsity 0.9 --train --epochs 5 --compact -o runs/thin

    $ nervure sparsify runs/base --pattern 2:4 --exclude classifier.6 --dry-run

    $ nervure sparsify --list
    """
    if list_:
        print_rows("criterion", complete.table("sparsify/criteria/__init__.py", "edge criterion").rows, json_)
        return
    if run is None:
        raise InputError("say which run to sparsify, as in: nervure sparsify runs/base --sparsity 0.5 -o runs/thin")
    if out is None and not dry_run:
        raise InputError("say where to write the run: -o OUT, or --dry-run to write none")
    idle = next((name for name, given in {"--compact": compact, "--times": times}.items() if given), None)
    if dry_run and idle:
        raise InputError(f"--dry-run makes no network; leave out {idle}")
    if compact and keep_mask:
        raise InputError("--compact makes zeros real shapes, which no mask fits; leave out --compact or --keep-mask")
    from nervure.sparsify.mask import files_of

    name = criterion or "isparse"
    terms: dict[str, Any] = {
        "sparsity": _sparsity(sparsity), "ranking": ranking, "order": order, "pattern": _pattern(pattern),
        "layers": layers, "exclude": exclude or (), "allow_empty": allow_empty, "samples": samples,
    }  # fmt: skip
    training = {"--epochs": epochs, "--batch": batch, "--lr": lr, "--optimizer": optimizer, "--recipe": recipe,
                "--warm-up": warm_up, "--refresh": refresh, "--ramp": ramp, "--resume": resume or None}  # fmt: skip
    own = pairs(settings, "--set")
    _agree(name, mask, train, dry_run, training, {"--criterion": criterion, "--sparsity": sparsity,
           "--pattern": pattern, "--layers": layers, "--set": settings, **unusual(terms)})  # fmt: skip
    _check_settings(name, own, seed)
    set_threads(threads)
    check_device(device)
    if out is not None and not dry_run:
        apart(out, run)
        claim(out, resume=resume if train else None, overwrite=overwrite)
    if save_mask is not None:
        for one in files_of(save_mask):
            check_file(one, overwrite)
    held = load_run(run, net)
    ds = data_of(held, data, data_dir, pairs(data_option, "--data-option"))
    seen = to_agree(held, ds, seed, device)
    if train:
        assert out is not None
        how = make_recipe(recipe, {"epochs": epochs, "batch": batch, "lr": lr, "optimizer": optimizer, "seed": seed})
        terms |= {"warm_up": warm_up, "refresh": refresh, "ramp": ramp}
        if resume and finished(out, net, name, terms, own, how, json_, quiet):
            return
        base, made = trained(held, seen, name, terms, own, how, out, resume, overwrite, device, net, quiet)
    else:
        base, made = held, judged(held, seen, mask, name, terms, own, seed, device, quiet)
    if save_mask is not None:
        made.save(save_mask)
    if dry_run:
        show(made, json_)
        return
    assert out is not None
    write(
        out, held, base, ds, seen, made, train=train, drop=compact, keep=keep_mask, times=times, device=device,
        command=typed(context), overwrite=overwrite, json_=json_,
    )  # fmt: skip
    say_where(out, net, quiet=quiet)


def _agree(
    criterion: str,
    mask: Path | None,
    train: bool,
    dry_run: bool,
    training: Mapping[str, object],
    judging: Mapping[str, object],
) -> None:
    """Refuse options that do not go together, before anything is read."""
    from nervure.sparsify import criteria

    kind = criteria.get(criterion)
    given = next((name for name, value in training.items() if value is not None), None)
    if not train and given is not None:
        raise InputError(f"{given} is of training; give --train as well")
    if train and (mask is not None or dry_run):
        raise InputError(f"--train judges as it goes; leave out {'--mask' if mask is not None else '--dry-run'}")
    if mask is not None and (asked := [name for name, value in judging.items() if value]):
        raise InputError(f"--mask already says which edges stay; leave out {asked[0]}")
    if not train and kind.needs_training:
        raise InputError(f"criterion {criterion!r} trains the network; give --train")


def _check_settings(criterion: str, own: Mapping[str, object], seed: int) -> None:
    """Refuse settings that the criterion does not take, before anything is read."""
    from nervure.sparsify import criteria

    if "seed" in own:
        raise InputError("--set seed: give --seed")
    criteria.make(criterion, seed, own)


def _sparsity(given: list[str] | None) -> float | dict[str, float] | None:
    """``0.5`` for all layers, or ``LAYER=0.5`` for each that is named."""
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return _share(given[0])
    if missing := [one for one in given if "=" not in one]:
        raise InputError(f"--sparsity {missing[0]!r}: give one share for all layers, or LAYER=SHARE for each")
    named = (one.rpartition("=") for one in given)
    return {layer: _share(share) for layer, _, share in named}


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--sparsity {text!r}: give the share of edges to remove, such as 0.5") from None


def _pattern(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    stay, colon, group = text.partition(":")
    if not colon or not (stay.isdigit() and group.isdigit()):
        raise InputError(f"--pattern {text!r}: write it as N:M, such as 2:4")
    return int(stay), int(group)
