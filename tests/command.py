"""The installed command, as tests of the whole command line run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nervure.cli.app import _run

NERVURE = Path(sys.executable).with_name("nervure")


def environment() -> dict[str, str]:
    """This process's, without what would change the command's behaviour."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("NERVURE", "_NERVURE", "PYTHONPATH"))
    }
    return {**kept, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The installed command, in a folder."""
    done = subprocess.run(
        [str(NERVURE), *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=150
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def here(*arguments: object) -> None:
    """The same in this process, which need not start: what a command does is tested so, how it starts is not."""
    assert _run([*(str(one) for one in arguments), "-q"]) == 0
