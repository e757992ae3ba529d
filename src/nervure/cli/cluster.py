"""``nervure cluster``: groups in data without labels, or with a few, into a run; and the groups of new samples."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nervure.cli import cluster_count, cluster_data, complete
from nervure.cli import options as opt
from nervure.cli.common import (
    check_device,
    check_file,
    command_line,
    is_function,
    load_run,
    own_code,
    pairs,
    refuse_options,
    say_where,
    set_threads,
    typed,
)
from nervure.cli.console import as_json, print_json, print_rows, print_table, say, training_bar
from nervure.cli.samples import as_it_was
from nervure.errors import InputError, InterruptedWork
from nervure.registry import check_settings, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nervure.cluster.estimator import DeepClusterer
    from nervure.data import Dataset
    from nervure.data.links import Given
    from nervure.evidence import Figure
    from nervure.store import Run

log = logging.getLogger(__name__)

ANYHOW = {"source", "net", "data_dir", "data_option", "threads", "quiet", "debug"}
PREDICTING = ANYHOW | {"predict", "out", "overwrite", "json_", "device"}
DRAWING = ANYHOW | {"draw", "data"}
"""The parameters that have a say where nothing is fitted."""


def command(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A name, file or folder of samples; with --predict or --draw, a run's folder.",
            metavar="SOURCE",
            autocompletion=complete.rows("data/sources.py", "source"),
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            help="How: see --list.",
            metavar="NAME",
            autocompletion=complete.rows("cluster/__init__.py", "clusterer"),
        ),
    ] = "dcae-gmm",
    clusters: Annotated[
        str | None,
        typer.Option(
            "--clusters", "-k", help="Number of clusters; 2-12 tries all of these, and auto does so.", metavar="K"
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Seeds to hold against one another: for the choice of a number, or of the clusters.",
            metavar="N",
            min=2,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder to write the run to; with --predict a file.", metavar="FOLDER"),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="Defaults: paper, robust or quick.",
            metavar="NAME",
            autocompletion=lambda incomplete: [
                one for one in ("paper", "robust", "quick") if one.startswith(incomplete)
            ],
        ),
    ] = "robust",
    epochs: Annotated[int | None, typer.Option(help="Passes over the data; by the profile.", metavar="N")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step; by the profile.", metavar="N")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; by the profile.", metavar="X")] = None,
    net: Annotated[
        str | None,
        typer.Option(
            help="A network's name or package.module:function, for a method without an auto-encoder also "
            "blueprint.json; by the data if not given.",
            metavar="NAME",
            autocompletion=complete.rows("nets/table.py", "network"),
        ),
    ] = None,
    net_option: Annotated[
        list[str] | None, typer.Option(help="A setting of the network; repeatable.", metavar="KEY=VALUE")
    ] = None,
    latent: Annotated[
        int | None, typer.Option(help="Size of a latent; by the method and the profile.", metavar="N", min=1)
    ] = None,
    augment: Annotated[
        list[str] | None, typer.Option(help="Augmentation, such as shift=0.1; repeatable.", metavar="KEY=VALUE")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any parameter of the method; repeatable.", metavar="KEY=VALUE")
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="What is clustered: all samples, or train alone and the rest is measured.", metavar="NAME"),
    ] = "all",
    labels: Annotated[
        bool, typer.Option("--labels", help="Let the labels that the data has supervise.", metavar="")
    ] = False,
    label_fraction: Annotated[
        float | None, typer.Option(help="Share of them that is used, of each class.", metavar="SHARE")
    ] = None,
    parents: Annotated[
        str | None, typer.Option(help="The group of each label, where groups supervise: 0,0,1,1.", metavar="GROUPS")
    ] = None,
    links: Annotated[
        Path | None,
        typer.Option(help="A .csv of pairs: sample, sample, must or cannot (1 or -1).", metavar="FILE"),
    ] = None,
    snapshots: Annotated[
        str | None, typer.Option(help="Epochs whose latents are drawn too, such as 0,10,50.", metavar="EPOCHS")
    ] = None,
    figures: Annotated[bool, typer.Option(help="Whether to make the figures of the page.", metavar="")] = True,
    predict: Annotated[
        list[str] | None,
        typer.Option(help="New samples to put into the clusters of a run; repeatable.", metavar="NEW"),
    ] = None,
    draw: Annotated[
        bool, typer.Option("--draw", help="Make the figures of a run anew, of its own data, and stop.", metavar="")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the methods, and stop.", metavar="")] = False,
    data: Annotated[
        str | None,
        typer.Option(help="With --draw, where the run's data is now, if it has moved.", metavar="SOURCE"),
    ] = None,
    data_option: opt.DataOption = None,
    data_dir: opt.DataDir = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    threads: opt.Threads = None,
    devices: opt.Devices = 1,
    nodes: opt.Nodes = 1,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    json_: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Find groups of like samples, and write an encoder with its clusters as a run.

    Labels are not read, unless you ask for it; where the data has them they only measure what was found.
    Ctrl-C keeps a checkpoint, and the fits of several numbers or seeds that are done; the same command with --resume
    goes on from there, to the same result.

    Examples:

    $ nervure cluster digits -k 10 --profile quick -o runs/groups

    $ nervure cluster digits -k 5-12 -o runs/chosen

    $ nervure cluster photos/ --method dcae-kmeans -k 5 --data-option size=32 -o runs/photos

    $ nervure cluster runs/groups --predict new/ -o labels.csv

    $ nervure cluster runs/groups --draw

    $ nervure cluster --list
    """
    if list_:
        print_rows("method", complete.table("cluster/__init__.py", "clusterer").rows, json_)
        return
    if source is None:
        raise InputError("say what to cluster, as in: nervure cluster digits -k 10 -o runs/groups")
    if data is not None and not draw:
        raise InputError(f"--data {data}: it goes with --draw, for a run whose data has moved")
    set_threads(threads)
    check_device(device)
    if predict:
        refuse_options(context, set(context.params) - PREDICTING, "--predict takes the clusters as they are")
        _predict(
            source, predict, out, net, data_dir, pairs(data_option, "--data-option"), device, overwrite, json_, quiet
        )
        return
    if draw:
        refuse_options(context, set(context.params) - DRAWING, "--draw takes the run as it is")
        _redraw(source, data, net, data_dir, pairs(data_option, "--data-option"), quiet)
        return
    given: dict[str, Any] = {
        "profile": profile, "epochs": epochs, "batch_size": batch, "lr": lr, "network": net, "latent": latent,
        "network_options": pairs(net_option, "--net-option") or None, "augment": pairs(augment, "--augment") or None,
        "parents": None if parents is None else cluster_data.numbers(parents, "--parents"),
        "snapshots": None if snapshots is None else cluster_data.numbers(snapshots, "--snapshots"),
        "device": device, "random_state": seed,
    }  # fmt: skip
    tried = cluster_count.numbers(clusters)
    estimator = _estimator(method, tried[-1], given, pairs(settings, "--set"))
    if out is None:
        raise InputError("say where to write the run: -o FOLDER")
    cluster_count.claim(out, resume=resume, overwrite=overwrite)
    own_code(net)
    asked = pairs(data_option, "--data-option")
    ds = cluster_data.scaled(cluster_data.load(source, data_dir, asked, split), estimator, asked)
    known = None
    if labels or label_fraction is not None or parents is not None:
        known = cluster_data.labels(ds, label_fraction, seed)
    linked = None if links is None else cluster_data.links(links)
    if not resume:
        cluster_count.done(out)
    extra: dict[str, Figure] = {}
    measures: dict[str, float] = {}
    if len(tried) > 1:
        if known is not None or linked is not None:
            raise InputError("labels and links have no say in the choice of a number; give -k K with them")
        with _in_shell():
            chosen = cluster_count.pick(estimator, ds, tried, seeds, out, quiet, anew=overwrite and not resume)
        extra = {"count": chosen.figure(), "counts": chosen.table()}
    run = _fit(estimator, ds, known, linked, out, resume, overwrite, threads, devices, nodes, quiet, typed(context))
    _tell_trouble(estimator, ds, devices * nodes)
    if len(tried) == 1 and seeds is not None and not cluster_count.agreed(run, seeds):
        extra, measures = cluster_count.agree(estimator, ds, known, linked, seeds, out, quiet)
    if extra:
        _annotate(run, out, extra, measures)
    if figures:
        _draw(run, ds, out, quiet)
    cluster_count.done(out)
    _show(run, json_)
    if ended := run.history[-1].get("ended"):
        say(f"training {ended}".replace("patience=0", "--set patience=0"), quiet=quiet)
    say_where(out, net, quiet=quiet)
    own: list[object] = [word for one in data_option or () for word in ("--data-option", one)]
    own += [] if data_dir is None else ["--data-dir", data_dir]
    own += ["--net", net] if is_function(net) else []
    listing = command_line("cluster", out, "--predict", source, *own, "-o", "clusters.csv")
    say(f"which sample is in which cluster: {listing}", quiet=quiet)


def _estimator(method: str, clusters: int, given: dict[str, Any], settings: dict[str, Any]) -> DeepClusterer:
    """The estimator with what was given; a parameter that its method has not is refused."""
    from nervure.cluster import clusterers

    kind = clusterers.get(method)
    known = tuple(one.name for one in dataclasses.fields(kind) if one.init and one.name != "n_clusters")
    named = {name: value for name, value in given.items() if value is not None}
    for name in (*named, *settings):
        if name not in known:
            raise InputError(f"method {method!r} has no parameter {name!r}; {nearest(name, known)}")
    if twice := sorted(set(settings) & set(named) - {"device", "random_state", "profile"}):
        raise InputError(f"--set {twice[0]} is given twice: there is an option for it")
    check_settings("--set", kind, settings)
    return kind(clusters, **{**named, **settings})


def _fit(
    estimator: DeepClusterer, ds: Dataset, labels: NDArray[np.int64] | None, links: Given | None, out: Path,
    resume: bool, overwrite: bool, threads: int | None, devices: int, nodes: int, quiet: bool, command: str,
) -> Run:  # fmt: skip
    from nervure.cluster.runs import fit_together
    from nervure.train.interrupt import stopping

    shared: dict[str, Any] = {
        "labels": labels, "links": links, "out": out, "resume": resume, "overwrite": overwrite, "command": command,
    }  # fmt: skip
    with _in_shell(), training_bar(quiet) as bar:
        if devices > 1 or nodes > 1:
            return fit_together(
                estimator, ds, devices=devices, nodes=nodes, threads=threads, progress=bar, **shared
            )  # fmt: skip
        with stopping() as stop:
            return estimator.fit_run(ds, progress=bar, stop=stop, **shared)


@contextlib.contextmanager
def _in_shell() -> Iterator[None]:
    """Within, messages name parameters as options of this command.

    >>> with _in_shell():
    ...     raise InputError("n_clusters = 1; take network='dilated-autoencoder'")
    Traceback (most recent call last):
    nervure.errors.InputError: -k 1; take --net dilated-autoencoder
    """
    try:
        yield
    except InputError as error:
        said = str(error).replace("n_clusters = ", "-k ").replace("n_clusters=", "-k ")
        raise InputError(re.sub(r"network='([\w-]+)'", r"--net \1", said)) from error


def _tell_trouble(estimator: DeepClusterer, ds: Dataset, processes: int) -> None:
    """What died, where other processes trained and nobody heard their warnings."""
    if processes == 1:
        return
    from nervure.cluster.figures.view import look, trouble

    for line in trouble(look(estimator.run_, ds)):
        log.warning("%s", line)


def _draw(run: Run, ds: Dataset, out: Path, quiet: bool) -> None:
    """Figures and further measures, kept in the run."""
    from nervure.cluster.figures import evidence_of

    say("drawing the clusters", quiet=quiet)
    try:
        _annotate(run, out, *evidence_of(run, ds))
    except KeyboardInterrupt:
        again = command_line("cluster", out, "--draw")
        raise InterruptedWork(
            f"interrupted; the run in {out} is whole, without its figures: {again} draws them"
        ) from None


def _redraw(
    source: str, data: str | None, net: str | None, data_dir: Path | None, options: dict[str, object], quiet: bool
) -> None:
    """Figures of a run as it lies there, of the data that it was fitted to."""
    run = _clusterer(source, net, "--draw")
    ds = as_it_was(run, data, data_dir, options)
    if ds.fingerprint != run.fingerprint:
        raise InputError(f"{ds.source} is not the data that {source} was made of; give that, by --data if it has moved")
    _draw(run, ds, Path(source), quiet)
    say(f"the figures are in {source}; see them with: nervure report {source}", quiet=quiet)


def _clusterer(source: str, net: str | None, option: str) -> Run:
    """The run of a clusterer in a folder."""
    if not Path(source).is_dir():
        raise InputError(f"{source}: not a run's folder; {option} goes with what nervure cluster has written")
    run = load_run(Path(source), net)
    if run.task != "clustering":
        raise InputError(f"{source}: a run of task {run.task}, and {option} is of clusterers")
    return run


def _annotate(run: Run, out: Path, found: dict[str, Figure], measures: dict[str, float]) -> None:
    from nervure import store

    store.annotate(out, found, measures)
    run.evidence |= found
    run.metrics |= measures


def _show(run: Run, json_: bool) -> None:
    """A run's measures on stdout."""
    if json_:
        print_json({"run": str(run.path), "metrics": run.metrics, "epochs": len(run.history)})
    else:
        rows = [(name.replace("_", " "), value) for name, value in run.metrics.items()]
        print_table(("measure", "value"), rows, title=str(run.path))


def _predict(
    source: str, new: Sequence[str], out: Path | None, net: str | None, data_dir: Path | None,
    options: dict[str, object], device: str, overwrite: bool, json_: bool, quiet: bool,
) -> None:  # fmt: skip
    """The cluster of each new sample, and how probable it is."""
    from nervure.cli.predict import rows_of, sets_of

    check_file(out, overwrite, (".csv", ".json"))
    run = _clusterer(source, net, "--predict")
    rows = [row for ds in sets_of(run, new, data_dir, options) for row in rows_of(run, ds, 256, device)]
    found = [(sample, values.index(max(values)), round(max(values), 6)) for sample, values in rows]
    if out is None:
        sys.stdout.write(_text(found, as_csv=not json_))
        return
    from nervure.store.atomic import write_text

    write_text(out, _text(found, as_csv=out.suffix == ".csv"))
    if json_:
        print_json({"file": str(out), "samples": len(found)})
    say(f"wrote {len(found)} rows to {out}", quiet=quiet)


def _text(found: Sequence[tuple[str, int, float]], *, as_csv: bool) -> str:
    columns = ("sample", "cluster", "probability")
    if not as_csv:
        return as_json([dict(zip(columns, row, strict=True)) for row in found])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(found)
    return text.getvalue()
