"""``nervure train``: a network on data, into a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nervure.cli import complete
from nervure.cli import options as opt
from nervure.cli.common import (
    check_device,
    claim,
    is_function,
    load_data,
    own_code,
    pairs,
    say_where,
    set_threads,
    typed,
)
from nervure.cli.console import print_json, print_table, say, training_bar
from nervure.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from nervure.data import Dataset
    from nervure.store import Run
    from nervure.train import Recipe


def command(
    context: typer.Context,
    source: opt.Source,
    out: opt.Out,
    net: Annotated[
        str | None,
        typer.Option(
            help="A network's name, blueprint.json, package.module:function, or a run, for its shape with new weights; "
            "by the data if not given.",
            metavar="NAME",
            autocompletion=complete.rows("nets/table.py", "network"),
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training split; 10 if not given.", metavar="N")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step; 128 if not given.", metavar="N")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; 0.001 if not given.", metavar="X")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="sgd, adam, adamw or rmsprop; adam if not given.",
            metavar="NAME",
            autocompletion=complete.choices("train/recipe.py", "optimizer"),
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Of the learning rate: constant, cosine, linear or step; constant if not given.",
            metavar="NAME",
            autocompletion=complete.choices("train/recipe.py", "schedule"),
        ),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay; 0 if not given.", metavar="X")] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="What to minimise; by the task if not given.",
            metavar="NAME",
            autocompletion=complete.rows("objectives/__init__.py", "objective"),
        ),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better one.", metavar="N")
    ] = None,
    recipe: opt.RecipeFile = None,
    settings: opt.RecipeField = None,
    augment: Annotated[
        list[str] | None,
        typer.Option(help="Augmentation, such as flip=0.5; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            help="A callback, as NAME or NAME:{json}; repeatable.",
            metavar="NAME",
            autocompletion=complete.rows("train/callbacks.py", "callback"),
        ),
    ] = None,
    net_option: Annotated[
        list[str] | None,
        typer.Option(help="A setting of the network; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    data_option: opt.DataOption = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights to start from: .safetensors, .pt or .pth.", metavar="FILE")
    ] = None,
    data_dir: opt.DataDir = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of everything random; 0 if not given.", metavar="N", rich_help_panel=opt.COMMON, min=0),
    ] = None,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    devices: opt.Devices = 1,
    nodes: opt.Nodes = 1,
    precision: opt.Precision = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train a network and write a run.

    Ctrl-C keeps a checkpoint; the same command with --resume goes on from it, to the same result.

    Examples:

    $ nervure train digits --net lenet5 --epochs 10 -o runs/base

    $ nervure train digits --net runs/small --epochs 10 -o runs/scratch

    $ nervure train photos/ --net resnet20 --data-option size=32 --augment flip=0.5 -o runs/photos
    """
    from nervure import nets

    set_threads(threads)
    check_device(device)
    claim(out, resume=resume, overwrite=overwrite)
    given = {
        "epochs": epochs, "batch": batch, "lr": lr, "optimizer": optimizer, "schedule": schedule,
        "weight_decay": weight_decay, "objective": objective, "patience": patience, "precision": precision,
        "seed": seed,
    }  # fmt: skip
    how = make_recipe(recipe, given, settings, augment, callback)
    ds = load_data(source, data_dir, pairs(data_option, "--data-option"))
    net = net or nets.default_for(ds)
    own_code(net)
    module = _network(net, ds, weights, how.seed, pairs(net_option, "--net-option"))
    if ds.task == "none" and objective is None:
        say(f"{ds.source} has no labels: training is to give samples back; nervure cluster finds groups", quiet=quiet)
    build = net if is_function(net) else None
    run = _fit(module, ds, how, out, resume, overwrite, device, threads, devices, nodes, build, quiet, typed(context))
    show(run, json_)
    say_where(out, build, quiet=quiet)


def make_recipe(
    file: Path | None,
    given: Mapping[str, object],
    settings: list[str] | None = None,
    augment: list[str] | None = None,
    callback: list[str] | None = None,
) -> Recipe:
    """A recipe from a file, then ``--set``, then the command's own options."""
    import json

    from nervure.train import Recipe

    values: dict[str, Any] = Recipe.from_file(file).to_json() if file is not None else {}
    values |= pairs(settings, "--set")
    values |= {key: value for key, value in given.items() if value is not None}
    if augment:
        values["augment"] = pairs(augment, "--augment")
    if callback:
        named = [one.partition(":") for one in callback]
        try:
            values["callbacks"] = [{"name": name, "options": json.loads(text or "{}")} for name, _, text in named]
        except ValueError as error:
            raise InputError(f"--callback: the options are no JSON ({error})") from error
    return Recipe.of(values)


def _network(net: str, ds: Dataset, weights: Path | None, seed: int, options: dict[str, Any]) -> nn.Module:
    """A network by name, or of the shape of a run."""
    from nervure import nets, store
    from nervure.nets.weights_file import load_weights

    if net in nets.networks or not store.is_run(Path(net)):
        return nets.build(net, ds, weights=weights, seed=seed, **options)
    if options:
        raise InputError(
            f"--net-option {next(iter(options))}: {net} is a run, whose network has its shape; leave it out"
        )
    module = nets.renewed(store.load(net).net, seed)
    base = nets.origin_of(module).base  # type: ignore[union-attr]
    if (base.in_shape, base.classes) != (ds.in_shape, ds.classes):
        raise InputError(
            f"{net} reads samples of {base.in_shape} into {base.classes} outputs; "
            f"those of {ds.source} are {ds.in_shape}, for {ds.classes}"
        )
    return module if weights is None else load_weights(module, weights)


def _fit(
    module: Any, ds: Any, recipe: Recipe, out: Path, resume: bool, overwrite: bool, device: str,
    threads: int | None, devices: int, nodes: int, build: str | None, quiet: bool, command: str,
) -> Run:  # fmt: skip
    from nervure import train
    from nervure.train import launch
    from nervure.train.interrupt import stopping

    with training_bar(quiet) as bar:
        if devices > 1 or nodes > 1:
            return launch.train(
                module, ds, recipe, out=out, devices=devices, nodes=nodes, resume=resume, overwrite=overwrite,
                device=device, threads=threads, build=build, command=command, progress=bar,
            )  # fmt: skip
        with stopping() as stop:
            return train.fit(
                module, ds, recipe, out=out, resume=resume, overwrite=overwrite, device=device, build=build,
                command=command, progress=bar, stop=stop,
            )  # fmt: skip


def show(run: Run, json_: bool) -> None:
    """A run's measures on stdout."""
    if json_:
        print_json({"run": str(run.path), "metrics": run.metrics, "epochs": len(run.history)})
    else:
        print_table(("measure", "value"), list(run.metrics.items()), title=str(run.path))
