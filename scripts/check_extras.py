"""Fail if installing any extra beside the pinned torch would replace it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Ask pip what each extra would install, and look for torch in its answer."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    everything = ",".join(extras)
    command = [
        sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-", "--disable-pip-version-check",
        "-c", "constraints.txt", f".[{everything}]",
    ]  # fmt: skip
    report = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if report.returncode:
        sys.stderr.write(report.stderr)
        return 1
    moved = [one["metadata"]["name"] for one in json.loads(report.stdout)["install"]]
    if "torch" in moved:
        sys.stderr.write(f"an extra of {everything} would replace torch\n")
        return 1
    sys.stdout.write(f"extras {everything}: torch stays\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
