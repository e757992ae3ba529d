"""``benchmarks/gpu.sh`` against a stand-in for the command: which studies it asks for, and how it ends."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"
STAND_IN = """#!/bin/sh
if [ "$2" = --list ]; then
  printf '[\\n {\\n  "name": "one",\\n  "what": "a"\\n },\\n {\\n  "name": "two",\\n  "what": "b"\\n }\\n]\\n'
  exit 0
fi
echo "$@" >> "$0.log"
printf '{\\n "study": "%s",\\n "missing": %s,\\n "trials": []\\n}\\n' "$2" "$(cat "$0.$2")"
exit "$(cat "$0.code")"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.mark.parametrize(
    ("missing", "code", "ends"), [((0, 0), 0, 0), ((0, 2), 0, 75), ((3, 4), 0, 75), ((0, 0), 1, 1)]
)
def test_a_slice(tmp_path: Path, missing: tuple[int, int], code: int, ends: int) -> None:
    command = tmp_path / "nervure"
    command.write_text(STAND_IN)
    command.chmod(0o755)
    for name, count in zip(("one", "two"), missing, strict=True):
        (tmp_path / f"nervure.{name}").write_text(str(count))
    (tmp_path / "nervure.code").write_text(str(code))
    done = subprocess.run(
        ["bash", str(SCRIPT), "data", "results"],
        env={"NERVURE": str(command), "PATH": "/usr/bin:/bin", "MINUTES": "9", "JOBS": "3"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == ends, done.stderr
    asked = (tmp_path / "nervure.log").read_text().splitlines()
    start = "--profile gpu -o results --data-dir data --device cuda --jobs 3 --minutes "
    assert [line.split("--minutes")[0] for line in asked] == [
        f"reproduce {name} {start}".split("--minutes")[0] for name in ("one", "two")
    ]
    minutes = [float(line.split("--minutes ")[1].split()[0]) for line in asked]
    assert 8 < minutes[1] <= minutes[0] <= 9
    if ends == 75:
        assert f"{sum(missing)} trials are missing" in done.stderr
