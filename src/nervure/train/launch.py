"""Starting other processes: a job is written to a file, and the worker reads it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

from nervure.data.dataset import Dataset
from nervure.errors import InputError, InterruptedWork, NervureError
from nervure.nets.origin import origin_of
from nervure.registry import resolve
from nervure.store import Run, folder, load
from nervure.store.atomic import write_json
from nervure.store.tree import save_tree
from nervure.train.loop import Progress
from nervure.train.recipe import Recipe

__all__ = ["start", "train"]

PATIENCE = 30.0
"""Seconds that processes which are no longer listened to have to keep their work and end."""

_WAITING = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "600"}
"""Seconds that torch's launcher waits for processes that are listened to: they may be in the middle of a slow step."""

Tell = Callable[[Mapping[str, object]], None]


def train(
    net: nn.Module,
    ds: Dataset,
    recipe: Recipe,
    *,
    out: Path | str,
    devices: int,
    nodes: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    build: str | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Train on several processes, as :func:`nervure.train.fit` does in one; the run is read from ``out``.

    Parameters
    ----------
    net : Module
        A network with an Origin: each process builds it anew.
    ds : Dataset
        Data with a source from which each process loads the same.
    devices, nodes : int
        Processes on this machine, and machines. With several machines, the same command runs on each, with
        ``MASTER_ADDR`` and ``MASTER_PORT`` set to the first.
    threads : int, optional
        Threads of each process.
    """
    origin = origin_of(net)
    if origin is None:
        raise InputError("this network has no Origin, so other processes cannot build it; build it by nets.build")
    folder.claim(out, resume=resume, overwrite=overwrite)
    with tempfile.TemporaryDirectory(prefix="nervure-") as place:
        held = Path(place) / "net.safetensors"
        save_tree(held, {"origin": origin.to_json(), "model": net.state_dict()})
        arguments = {
            "net": str(held),
            "source": ds.source,
            "options": dict(ds.options),
            "fingerprint": ds.fingerprint,
            "recipe": recipe.to_json(),
            "out": str(out),
            "resume": resume,
            "overwrite": overwrite,
            "device": device,
            "build": build,
            "command": command,
        }

        def tell(event: Mapping[str, object]) -> None:
            if progress is not None and isinstance(where := event.get("progress"), dict):
                progress(Progress(**where))

        start(
            "nervure.train.worker:train",
            arguments,
            processes=devices,
            nodes=nodes,
            threads=threads,
            tell=tell,
        )
    return load(out, build=build)


def start(
    call: str,
    arguments: Mapping[str, object],
    *,
    processes: int = 1,
    nodes: int = 1,
    threads: int | None = None,
    tell: Tell | None = None,
) -> object:
    """Run ``call`` (``"package.module:function"``) with JSON arguments in other processes; its result.

    Ctrl-C is passed on, and waited for: the processes keep their checkpoint before they stop.
    """
    with tempfile.TemporaryDirectory(prefix="nervure-") as place:
        job = Path(place) / "job.json"
        write_json(
            job,
            {
                "call": call,
                "arguments": dict(arguments),
                "threads": threads,
                "sys_path": [p for p in sys.path if p],
                "parent": os.getpid(),
            },
        )
        command = [sys.executable, *_launcher(processes, nodes), "-m", "nervure.train.worker", str(job)]
        environment = {
            **_WAITING,
            **os.environ,
            "OMP_NUM_THREADS": str(threads or os.environ.get("OMP_NUM_THREADS", 1)),
        }
        errors: list[str] = []
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # of one byte that is no text the reader would end, and the worker wait for ever
            env=environment,
            start_new_session=True,
        ) as worker:
            reader = threading.Thread(target=lambda: errors.extend(worker.stderr or ()), daemon=True)
            reader.start()
            try:
                try:
                    result = _listen(worker, tell)
                except KeyboardInterrupt:
                    worker.send_signal(signal.SIGINT)
                    result = _listen(worker, tell)
            finally:
                _end(worker)
                reader.join(timeout=5)
        if worker.returncode:
            raise _error(job, worker.returncode, "".join(errors))
        return result


def _launcher(processes: int, nodes: int) -> list[str]:
    if processes == 1 and nodes == 1:
        return []
    if nodes == 1:
        where = ["--standalone"]
    else:
        try:
            endpoint = f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', '29500')}"
        except KeyError:
            raise InputError(f"--nodes {nodes}: set MASTER_ADDR to the first machine's name on each of them") from None
        where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint, "--rdzv-id", "nervure"]
    return ["-m", "torch.distributed.run", *where, "--nnodes", str(nodes), "--nproc-per-node", str(processes)]


def _listen(worker: subprocess.Popen[str], tell: Tell | None) -> object:
    """Pass on what the worker tells until it has ended; its result."""
    assert worker.stdout is not None
    result: object = None
    for line in worker.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        if "result" in event:
            result = event["result"]
        elif tell is not None:
            tell(event)
    worker.wait()
    return result


def _end(worker: subprocess.Popen[str]) -> None:
    """Leave no process behind where listening was broken off: asked first, and then all of the group at once.

    Processes that torch's launcher started are in groups of their own; they end when it is gone.
    """
    if worker.poll() is None:
        worker.send_signal(signal.SIGINT)
        try:
            worker.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _error(job: Path, code: int, errors: str) -> NervureError:
    left = Path(f"{job}.error")
    if left.is_file():
        said = json.loads(left.read_text(encoding="utf-8"))
        kind = resolve(said["kind"])
        assert isinstance(kind, type) and issubclass(kind, NervureError)
        error = NervureError.__new__(kind)
        error.args = (said["message"],)
        return error
    if code in (-signal.SIGINT, 128 + signal.SIGINT, 130):
        return InterruptedWork("the processes were interrupted before a checkpoint was kept")
    last = errors.strip().splitlines()[-1] if errors.strip() else "it said nothing"
    return NervureError(f"a process failed with exit code {code}: {last}")
