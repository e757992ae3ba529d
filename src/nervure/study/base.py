"""The network that a study's trials start from: a run that is there, or one trained once and shared by all of them."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nervure import nets, store
from nervure.data import Dataset
from nervure.errors import InputError
from nervure.nets.digest import weights_digest
from nervure.store import Run
from nervure.study.run_data import data_of
from nervure.study.settings import TrainSettings
from nervure.study.train_trial import training_data
from nervure.study.trials import Job
from nervure.train import Recipe, fit

__all__ = ["base_of"]


def base_of(
    job: Job,
    run: str | None,
    training: dict[str, object] | None,
    build: str | None = None,
    *,
    weights: str = "",
    fingerprint: str = "",
) -> tuple[Run, Dataset]:
    """The base of a trial and its data, as the base's network reads it.

    Parameters
    ----------
    job : Job
        Says where the data is, and where trials keep what they share.
    run : str, optional
        A run's folder; it is read.
    training : dict, optional
        Settings of the trial ``train``; the network of each seed is trained once, by the trial that comes first,
        while the others wait for it.
    build : str, optional
        The ``package.module:function`` that made the network of ``run``, if it was the user's own.
    weights, fingerprint : str
        Digests of the run's weights and of the data, where the trial is of just these: others are refused. With the
        latter the job's options are all that there are; without it they go before those of the run's own data.
    """
    if (run is None) == (training is None):
        raise InputError("a trial of pruning starts from a run, or from the settings to train one: give one of them")
    if run is not None:
        held = store.load(run, build=build)
        if weights and weights_digest(held.net, None) != weights:
            raise InputError(
                f"{run}: holds other weights than were given (trained anew meanwhile, or changed and not saved); save "
                "what was given, and compare that"
            )
        own = job.source in ("", held.source) and not fingerprint
        place = None if job.data_dir is None else Path(job.data_dir)
        ds = data_of(held, None if own else job.source, place, job.options)
        if fingerprint and ds.fingerprint != fingerprint:
            raise InputError(
                f"{ds.source}: trials load other data from it than was given (a part of it, or a file that has "
                "changed); save what was given as .npz, and load that"
            )
        return held, ds
    settings = TrainSettings.read(training or {})
    ds = training_data(job, settings.train_samples)
    recipe = Recipe.of({**settings.recipe, "seed": job.seed})
    # What made the network is named by the settings, never by the folder.
    build = settings.net if ":" in settings.net else None
    with _shared(job, ds, settings) as kept:
        if store.is_run(kept):
            held = store.load(kept, build=build)
        else:
            net = nets.build(settings.net, ds, seed=job.seed, **settings.net_options)
            held = fit(net, ds, recipe, out=kept, resume=True, device=job.device, build=build)
        return held, dataclasses.replace(ds, preprocessing=held.preprocessing)


@contextmanager
def _shared(job: Job, ds: Dataset, settings: TrainSettings) -> Iterator[Path]:
    """The folder of one base, which one process at a time may work on."""
    said = json.dumps([settings.model_dump(mode="json"), job.seed, ds.fingerprint], sort_keys=True)
    name = f"base-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    if job.cache is None:
        with tempfile.TemporaryDirectory(prefix="nervure-") as folder:
            yield Path(folder) / name
        return
    Path(job.cache).mkdir(parents=True, exist_ok=True)
    with open(Path(job.cache) / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(job.cache) / name
