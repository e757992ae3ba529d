"""Write a network as a file: dumped under a temporary name, run on real samples, and only then named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from nervure.data.dataset import Preprocessing, Task
from nervure.errors import InputError, NervureError
from nervure.export.deployed import CHOICES, Deployed, own_copy
from nervure.export.formats import Format, Job, formats
from nervure.export.parity import Cases, cases, check
from nervure.nets.origin import origin_of
from nervure.registry import nearest
from nervure.store.atomic import replacing

__all__ = ["Exported", "metadata", "write"]


@dataclass(frozen=True)
class Exported:
    """A file that passed the gate: its size, and how far its outputs are from the network's.

    ``largest_difference`` is relative to the largest output; ``samples`` is how many real ones were run.
    """

    path: Path
    format: str
    bytes: int
    largest_difference: float
    samples: int


def write(
    net: nn.Module,
    path: Path | str,
    format: str,
    *,
    samples: Tensor,
    preprocessing: Preprocessing | None = None,
    names: Sequence[str] = (),
    task: Task = "none",
    mask: Tensor | None = None,
    tolerance: float = 1e-4,
    origin_json: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write ``net`` to ``path`` and return what was written; a file that differs from ``net`` is not kept.

    Parameters
    ----------
    net : module
        The network; it is not changed. It is exported in evaluation mode, on the CPU.
    path : path
        The file; its ending is the format's.
    format : str
        A name of :data:`formats`.
    samples : tensor
        (n, ...) real samples as stored (before preprocessing). The file is run on them at batch sizes 1, 3
        and n. None of their values is written.
    preprocessing : Preprocessing, optional
        From stored values to network input; it becomes part of the graph, and of the metadata.
    names : sequence of str
        Class names, in the order of the logits; written as metadata.
    task : str
        ``"classification"`` and ``"clustering"`` give outputs ``logits`` and ``probabilities``, otherwise ``output``.
    mask : tensor, optional
        (n, time) bool, for series of unequal length; the file then takes ``x`` and ``mask``.
    tolerance : float
        Largest difference between file and network, relative to the network's largest output.
    origin_json : mapping, optional
        What the network was built from; by default its own Origin, if it has one.
    overwrite : bool
        Whether a file that exists may be replaced.

    Examples
    --------
    >>> import tempfile
    >>> net, samples = nn.Linear(2, 2), torch.rand(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = write(net, f"{folder}/net.safetensors", "safetensors", samples=samples, names="ab")
    ...     metadata(done.path)["names"]
    ['a', 'b']
    >>> done.largest_difference
    0.0
    """
    form = formats.get(format)
    path = Path(path)
    if task not in get_args(Task):
        raise InputError(f"unknown task {task!r}; {nearest(task, get_args(Task))}")
    _check_target(path, form.suffix, overwrite)
    given = _check_samples(samples, mask, tolerance)
    if mask is not None:
        mask = mask.detach().cpu().to(torch.bool)
    own = _float32_copy(net)
    preprocessing = preprocessing or Preprocessing()
    wanted = cases(own, preprocessing, task, given, mask)
    _check_names(names, wanted, task)
    if origin_json is None and (origin := origin_of(net)) is not None:
        origin_json = origin.to_json()
    job = Job(
        Deployed(own, preprocessing, task).eval(),
        tuple(given.shape[1:]),
        mask is not None,
        tuple(next(iter(wanted.references.values()))),
        _metadata(preprocessing, names, task, tuple(given.shape[1:]), origin_json),
    )
    data = form.dump(job)
    largest = _gate(form, job, data, wanted, path, format, tolerance, overwrite)
    return Exported(path, format, len(data), largest, len(given))


def metadata(path: Path | str) -> dict[str, object]:
    """What an exported file says of itself: names, preprocessing, task, in_shape, origin, version.

    Everything is plain JSON data; ``Preprocessing.from_json`` reads the preprocessing. See :func:`write`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    for name in formats.names():
        form = formats.get(name)
        if form.suffix == path.suffix:
            try:
                found = form.read(path)
            except NervureError:
                raise
            except Exception as error:
                raise InputError(f"{path}: not a readable {name} file ({type(error).__name__})") from error
            ours = {key.removeprefix("nervure."): value for key, value in found.items() if key.startswith("nervure.")}
            return {key: json.loads(value) for key, value in ours.items()}
    raise InputError(f"{path}: of no known format; there are: {', '.join(formats.names())}")


def _gate(
    form: Format,
    job: Job,
    data: bytes,
    wanted: Cases,
    path: Path,
    name: str,
    tolerance: float,
    overwrite: bool,
) -> float:
    """Store under a temporary name, run what was stored, and give it its name only if it agrees."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
        try:
            runner = form.load(temporary, job)
        except NervureError:
            raise
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise NervureError(
                f"{name}: the exported file cannot be loaded ({reason[:160]}), so it was not written"
            ) from error
        largest = check(runner, wanted, name, tolerance)
        if path.exists() and not overwrite:
            raise InputError(f"{path}: appeared while it was being written; give another name")
    return largest


def _metadata(
    preprocessing: Preprocessing,
    names: Sequence[str],
    task: Task,
    in_shape: tuple[int, ...],
    origin: Mapping[str, object] | None,
) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("nervure")
    except PackageNotFoundError:
        ours = "unknown"
    plain: dict[str, object] = {
        "version": ours,
        "task": task,
        "names": list(names),
        "preprocessing": preprocessing.to_json(),
        "in_shape": list(in_shape),
    }
    if origin is not None:
        plain["origin"] = dict(origin)
    return {f"nervure.{key}": json.dumps(value) for key, value in plain.items()}


def _float32_copy(net: nn.Module) -> nn.Module:
    own = own_copy(net)
    for name, value in own.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float32:
            raise InputError(f"{name} is {value.dtype}; exported files hold float32, so call .float() on a copy first")
    return own


def _check_target(path: Path, suffix: str, overwrite: bool) -> None:
    if path.suffix != suffix:
        raise InputError(f"{path}: a file of this format ends in {suffix}; rename it")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; give another name, or overwrite it on purpose")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; make it first")


def _check_samples(samples: Tensor, mask: Tensor | None, tolerance: float) -> Tensor:
    if not tolerance > 0:
        raise InputError(f"tolerance = {tolerance}; give a number above 0")
    if samples.ndim < 2 or not len(samples):
        raise InputError(f"samples of shape {tuple(samples.shape)}; give at least one, as (n, ...)")
    samples = samples.detach().cpu().contiguous()
    if not bool(torch.isfinite(samples).all()):
        raise InputError("samples hold NaN or infinity; give finite ones, with a mask where series are padded")
    if mask is not None and (samples.ndim != 3 or mask.shape != (len(samples), samples.shape[-1])):
        wanted = f"({len(samples)}, {samples.shape[-1]})"
        raise InputError(f"mask of shape {tuple(mask.shape)} for samples {tuple(samples.shape)}; give {wanted}")
    return samples


def _check_names(names: Sequence[str], wanted: Cases, task: Task) -> None:
    if task not in CHOICES:
        return
    logits = next(iter(wanted.references.values()))["logits"]
    if logits.ndim < 2:
        raise InputError(f"logits of shape {tuple(logits.shape)}; a network that chooses gives (n, classes)")
    if names and len(names) != logits.shape[1]:
        raise InputError(f"{len(names)} class names for {logits.shape[1]} outputs; give one name for each output")
