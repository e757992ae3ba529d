"""shape: the whole way in one go, from data to a network that is trained, measured and deployed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nervure import nets, store, train
from nervure.data import Dataset
from nervure.store import Run
from nervure.study.deploy import deploy
from nervure.train import Progress, Recipe

__all__ = ["default_recipe", "shape"]

_STEPS = 1500  # enough for the default networks on small data; large data gets fewer epochs


def default_recipe(ds: Dataset, **values: object) -> Recipe:
    """A recipe of about 1,500 steps, from 5 to 60 epochs, with the rate falling to zero; ``values`` win.

    >>> import nervure as nv
    >>> default_recipe(nv.data.load("digits")).epochs
    60
    """
    batch = 64
    steps = max(1, -(-len(ds.splits.get("train", ())) // batch))
    epochs = min(60, max(5, -(-_STEPS // steps)))
    chosen = {"batch": batch, "epochs": epochs, "schedule": "cosine", "monitor": _monitor(ds)}
    return Recipe.of({**chosen, **values})


def _monitor(ds: Dataset) -> str:
    return "accuracy" if ds.task == "classification" else "loss"


def shape(
    ds: Dataset,
    out: Path | str,
    *,
    net: str | None = None,
    recipe: Recipe | None = None,
    formats: tuple[str, ...] = ("onnx", "pt2"),
    threads: int = 1,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """Choose a network for the data, train it, measure it, and write files that run elsewhere.

    Parameters
    ----------
    ds : Dataset
        The data.
    out : path
        The run's folder; exported files go to ``out/exports``.
    net : str, optional
        A network's name; by the data otherwise.
    recipe : Recipe, optional
        How to train; :func:`default_recipe` otherwise.
    formats : tuple of str
        What to export.
    resume, overwrite, command
        As in :func:`nervure.train.fit`.

    Returns
    -------
    Run
        The trained run, with its latency table.
    """
    name = net or nets.default_for(ds)
    recipe = recipe or default_recipe(ds)
    tell(f"{ds.source}: {len(ds)} {ds.kind} samples of shape {ds.in_shape}; training {name}")
    module = nets.build(name, ds, seed=recipe.seed)
    run = train.fit(
        module,
        ds,
        recipe,
        out=out,
        resume=resume,
        overwrite=overwrite,
        device=device,
        command=command,
        progress=progress,
        stop=stop,
    )
    deploy(run, ds, Path(out) / "exports", formats, threads=threads, overwrite=True, tell=tell)
    return store.load(out)
