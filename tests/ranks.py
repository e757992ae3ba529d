"""One group of two processes for all tests that compare two with one: starting a group takes longer than its work.

Each process reads jobs from its standard input, a line each, and does them as the worker does; the group itself is
joined and left anew for each job.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

END = "job ended"


class Pair:
    """Two processes that wait for jobs."""

    def __init__(self) -> None:
        self.ranks = [self._begin(rank) for rank in range(2)]

    @staticmethod
    def _begin(rank: int) -> subprocess.Popen[str]:
        where = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        return subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **where, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def start(
        self,
        call: str,
        arguments: object,
        *,
        processes: int = 1,
        nodes: int = 1,
        threads: int | None = None,
        tell: object = None,
    ) -> object:
        """In place of :func:`nervure.train.launch.start`, for two processes."""
        from nervure.train import launch

        assert (processes, nodes) == (2, 1)
        with tempfile.TemporaryDirectory() as place:
            job = Path(place) / "job.json"
            job.write_text(
                json.dumps(
                    {
                        "call": call,
                        "arguments": arguments,
                        "threads": threads,
                        "sys_path": sys.path,
                        "parent": os.getpid(),
                    }
                )
            )
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            for process in self.ranks:
                assert process.stdin is not None
                process.stdin.write(json.dumps([str(job), port]) + "\n")
                process.stdin.flush()
            codes, result = [], None
            for process in self.ranks:
                assert process.stdout is not None
                for line in process.stdout:
                    event = json.loads(line) if line.startswith("{") else {}
                    result = event.get("result", result)
                    if END in event:
                        codes.append(event[END])
                        break
            if codes != [0, 0]:
                raise launch._error(job, max([*codes, 1]), f"codes {codes}")
            return result

    def end(self) -> None:
        for process in self.ranks:
            process.communicate(timeout=60)


def serve() -> None:
    from nervure.train import worker

    for line in sys.stdin:
        job, port = json.loads(line)
        os.environ["MASTER_PORT"] = str(port)
        code = worker.main(job)
        sys.stdout.write(json.dumps({END: code}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
