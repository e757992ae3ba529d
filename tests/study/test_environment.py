from __future__ import annotations

import getpass
import json
import os
import platform
from pathlib import Path

import torch

from nervure.study.environment import cores, environment


def test_it_says_what_computed_and_not_where() -> None:
    found = environment("cpu")
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["device"] == "cpu"
    assert 1 <= cores() <= (os.cpu_count() or 1)
    text = json.dumps(found)
    assert str(Path.cwd()) not in text
    assert platform.node() not in text or len(platform.node()) < 4
    assert getpass.getuser() not in found.values()
