"""One process of many: reads a job, joins the group that it finds, does its part.

Started as ``python -m torch.distributed.run ... -m nervure.train.worker JOB`` for training on several devices, and as
``python -m nervure.train.worker JOB`` for one trial of a study. A job is a file that the parent process wrote a moment
before, for this very call. Rank 0 alone prints: one JSON object a line, which the parent reads.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nervure.errors import InputError, NervureError
from nervure.registry import resolve
from nervure.store.atomic import write_json
from nervure.train.voice import own_output, say

__all__ = ["main", "say", "train"]

_LAST = 120.0
"""Seconds that this process has to keep its work and end once nobody is left to wait for it."""


def train(arguments: Mapping[str, Any]) -> dict[str, object]:
    """Train as one process of a group; the arguments are those that ``launch.train`` wrote."""
    from nervure import data, nets
    from nervure.nets.origin import Origin
    from nervure.store.tree import load_tree
    from nervure.train.fit import fit
    from nervure.train.interrupt import stopping
    from nervure.train.loop import Progress
    from nervure.train.recipe import Recipe

    held = load_tree(str(arguments["net"]))
    build: Any = arguments["build"]
    net = nets.rebuild(Origin.from_json(held["origin"]), build=build)
    net.load_state_dict(held["model"])
    ds = data.load(str(arguments["source"]), **arguments["options"])

    if ds.fingerprint != arguments["fingerprint"]:
        raise InputError(
            f"{ds.source}: other processes load other data from it than was given (a part of it, or a file that has "
            "changed); save what was given as .npz, and load that"
        )

    def tell(where: Progress) -> None:
        say({"progress": vars(where)})

    with stopping() as stop:
        run = fit(
            net,
            ds,
            Recipe.of(arguments["recipe"]),
            out=str(arguments["out"]),
            resume=bool(arguments["resume"]),
            overwrite=bool(arguments["overwrite"]),
            device=str(arguments["device"]),
            build=build,
            command=arguments["command"],
            progress=tell,
            stop=stop,
        )
    return {"metrics": run.metrics}


def main(path: str) -> int:
    """Do the job at ``path``; an error is left beside it for the parent.

    The parent asks for an end by SIGINT, which is heeded even where a shell's background job would ignore it. A parent
    or a launcher that was killed asks in the same way.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    threading.Thread(target=_watch, args=(int(job["parent"]), os.getppid()), daemon=True).start()
    sys.path[:0] = [entry for entry in job["sys_path"] if entry not in sys.path]
    if job["threads"]:
        torch.set_num_threads(int(job["threads"]))
    try:
        target = resolve(job["call"])
        say({"result": target(job["arguments"])})  # type: ignore[operator]
    except NervureError as error:
        kind = f"{type(error).__module__}:{type(error).__qualname__}"
        write_json(f"{path}.error", {"kind": kind, "message": str(error)})
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        if not Path(f"{path}.error").exists():  # a process that left says more than one that waited for it
            write_json(
                f"{path}.error",
                {"kind": "nervure.errors:NervureError", "message": f"{type(error).__name__}: {error}"},
            )
        return 1
    finally:
        _leave_group()
    return 0


def _watch(parent: int, launcher: int) -> None:
    """Ask this process to end once its parent is gone: what can be kept is kept, and nobody waits for the rest.

    So too when torch's launcher is gone, which stands between the two. Where others cannot be waited for, as they ended
    in the middle of a message, this one is ended.
    """
    orphan = launcher == 1 != parent  # the launcher was gone before this process could ask for it
    while not orphan and _alive(parent) and os.getppid() == launcher:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_LAST)
    os.kill(os.getpid(), signal.SIGKILL)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _leave_group() -> None:
    distributed = importlib.import_module("torch.distributed")
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    own_output()
    sys.exit(main(sys.argv[1]))
