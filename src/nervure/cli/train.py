"""``nervure train``: a network on data, into a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nervure.cli import options as opt
from nervure.cli.common import load_data, pairs, set_threads, typed
from nervure.cli.console import print_json, print_table, say, training_bar
from nervure.errors import InputError

if TYPE_CHECKING:
    from nervure.store import Run
    from nervure.train import Recipe


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A name, file or folder; see: nervure data --list.")],
    out: opt.Out,
    net: Annotated[
        str | None,
        typer.Option(help="A network's name, blueprint.json, or package.module:function; by the data if not given."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split.  [default: 10]")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step.  [default: 128]")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.  [default: 0.001]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, adam, adamw or rmsprop.  [default: adam]")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine, linear or step.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay.")] = None,
    objective: Annotated[str | None, typer.Option(help="What to minimise; follows the task by default.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better one.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe as JSON; options given here win over it.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other field of the recipe, as key=value; repeatable."),
    ] = None,
    augment: Annotated[list[str] | None, typer.Option(help="Augmentation, as key=value; repeatable.")] = None,
    callback: Annotated[list[str] | None, typer.Option(help="A callback, as name or name:{json}; repeatable.")] = None,
    net_option: Annotated[list[str] | None, typer.Option(help="A network's setting, as key=value; repeatable.")] = None,
    data_option: Annotated[list[str] | None, typer.Option(help="A source's option, as key=value; repeatable.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights to start from, as .safetensors.")] = None,
    data_dir: opt.DataDir = None,
    seed: opt.Seed = 0,
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

      nervure train digits --net lenet5 --epochs 10 -o runs/base

      nervure train photos/ --net resnet20 --data-option size=32 --augment flip=true -o runs/photos
    """
    from nervure import nets

    set_threads(threads)
    given = {
        "epochs": epochs, "batch": batch, "lr": lr, "optimizer": optimizer, "schedule": schedule,
        "weight_decay": weight_decay, "objective": objective, "patience": patience, "precision": precision,
    }  # fmt: skip
    how = make_recipe(recipe, given, settings, augment, callback, seed)
    ds = load_data(source, data_dir, pairs(data_option or [], "--data-option"))
    net = net or nets.default_for(ds)
    net_options: dict[str, Any] = pairs(net_option or [], "--net-option")
    module = nets.build(net, ds, weights=weights, seed=seed, **net_options)
    build = net if ":" in net else None
    run = _fit(module, ds, how, out, resume, overwrite, device, threads, devices, nodes, build, quiet, typed(context))
    show(run, json_)
    say(f"{out}: go on with  nervure report {out}", quiet=quiet)


def make_recipe(
    file: Path | None,
    given: Mapping[str, object],
    settings: list[str] | None = None,
    augment: list[str] | None = None,
    callback: list[str] | None = None,
    seed: int = 0,
) -> Recipe:
    """A recipe from a file, then ``--set``, then the command's own options."""
    import json

    from nervure.train import Recipe

    values: dict[str, Any] = Recipe.from_file(file).to_json() if file is not None else {}
    values |= pairs(settings or [], "--set")
    values |= {key: value for key, value in given.items() if value is not None}
    if augment:
        values["augment"] = pairs(augment, "--augment")
    if callback:
        named = [one.partition(":") for one in callback]
        try:
            values["callbacks"] = [{"name": name, "options": json.loads(text or "{}")} for name, _, text in named]
        except ValueError as error:
            raise InputError(f"--callback: the options are no JSON ({error})") from error
    if file is None or seed:
        values.setdefault("seed", seed)
    return Recipe.of(values)


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
