from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from nervure.export.pt2_file import METADATA

# What a user without our package runs.
ALONE = f"""
import json, sys, torch
torch.set_num_threads(1)
files = {{"{METADATA}": ""}}
net = torch.export.load(sys.argv[1], extra_files=files).module()
x = torch.load(sys.argv[2])
print(json.dumps([net(x[:n])["logits"].tolist() for n in (1, 5)]))
print(files["{METADATA}"])
print([name for name in sys.modules if name.startswith("nervure")])
"""


def test_a_process_without_our_code_runs_it_and_reads_its_metadata(written, tmp_path):
    case = written["image"]
    torch.save(case.x.float(), tmp_path / "x.pt")
    command = [sys.executable, "-c", ALONE, str(case.files["pt2"].path), str(tmp_path / "x.pt")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for size, found in zip((1, 5), json.loads(lines[0]), strict=True):
        torch.testing.assert_close(torch.tensor(found), case.logits[:size], atol=1e-5, rtol=1e-5)
    held = json.loads(lines[1])
    assert json.loads(held["nervure.names"]) == ["a", "b", "ü"]
    assert lines[2] == "[]"


@pytest.mark.parametrize("size", [1, 2, 6])
def test_series_take_a_mask(written, size):
    case = written["series"]
    net = torch.export.load(case.files["pt2"].path).module()
    torch.testing.assert_close(net(case.x[:size], case.mask[:size])["logits"], case.logits[:size])


def test_no_path_of_this_machine_and_no_sample_is_inside(written):
    data = written["series"].files["pt2"].path.read_bytes()
    assert b".py" not in data
    assert written["series"].x[0, 0, :3].numpy().tobytes() not in data
