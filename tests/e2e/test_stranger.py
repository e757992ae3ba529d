"""The stranger's test: an outside package extends Nervure, and nothing in ``src/`` knows of it.

It brings one criterion, one structural step, one callback with state, one objective and one figure, in at most 80
lines. In separate processes it trains on ``digits``, is killed, resumes, saves, loads, exports and reports.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = '''
import dataclasses, time
import numpy as np, torch
from torch import nn
from nervure.evidence import Figure
from nervure.judge import Criterion, Judgement
from nervure.nets import Step, derive
from nervure.objectives.call import call
from nervure.observe import Moments
from nervure.train import Callback

class Spread(Criterion):
    """Units whose output varies more stay longer."""
    def wants(self, layer):
        return {"moments": Moments()}
    def judge(self, layer, weights, results, probe=None):
        return Judgement(torch.as_tensor(results["moments"].variance).sqrt())

class Gate(nn.Module):
    """A fixed mask over units."""
    def __init__(self, units):
        super().__init__()
        self.register_buffer("mask", torch.ones(units))
    def forward(self, x):
        return x * self.mask.view(1, -1, *[1] * (x.ndim - 2))

def rebuild(net, settings):
    for name, units in settings["gates"].items():
        parent, _, leaf = name.rpartition(".")
        setattr(net.get_submodule(parent), leaf, nn.Sequential(net.get_submodule(name), Gate(units)))
    return net

def gated(net, keep):
    import copy
    step = Step("gate", {"gates": {name: len(mask) for name, mask in keep.items()}})
    new = rebuild(copy.deepcopy(net), step.settings)
    for name, mask in keep.items():
        new.get_submodule(name)[1].mask.copy_(mask)
    return derive(net, new, step)

class Pulse(Callback):
    """Remembers the loss of every step it saw, and draws it."""
    def __init__(self, pause=0.0):
        self.pause, self.norms = pause, []
    def after_step(self, loop, batch):
        time.sleep(self.pause)
        self.norms.append(float(sum(p.norm() for p in loop.net.parameters())))
    def finish(self, loop):
        values = np.array(self.norms)
        loop.evidence["pulse"] = Figure(kind="strip", title="Pulse <of> weights", alt="grows", data={"values": values})
    def state_dict(self):
        return {"norms": self.norms}
    def load_state_dict(self, state):
        self.norms = list(state["norms"])

@dataclasses.dataclass
class Focal:
    """Cross-entropy that cares less for what is known already."""
    gamma: float = 2.0
    def __call__(self, net, batch):
        logs = call(net, batch).log_softmax(1).gather(1, batch.y[:, None])[:, 0]
        return (-(1 - logs.exp()) ** self.gamma * logs).mean(), {}

def strip(figure):
    from html import escape
    return f"<p class='strip'>{escape(figure.title)}: {len(figure.data['values'])} beats</p>"
'''

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "stranger"
version = "1.0"
[tool.setuptools]
py-modules = ["stranger"]
[project.entry-points."nervure.criteria"]
spread = "stranger:Spread"
[project.entry-points."nervure.steps"]
gate = "stranger:rebuild"
[project.entry-points."nervure.callbacks"]
pulse = "stranger:Pulse"
[project.entry-points."nervure.objectives"]
focal = "stranger:Focal"
[project.entry-points."nervure.figures"]
strip = "stranger:strip"
"""

JUDGE = """
import sys, torch
import nervure as nv
from nervure.judge import judge, select
from nervure.prune.criteria import criteria
from stranger import gated
run = nv.store.load(sys.argv[1])
ds = nv.data.load(run.source, **run.options)
verdict = judge(run.net, nv.data.batches(ds, "train", 128), {"spread": criteria.get("spread")()})["spread"]
name = "features.0"
scores = verdict[name].scores
keep = select(scores, len(scores) // 2)
mask = torch.zeros(len(scores)).index_fill(0, keep, 1.0)
before = {k: v.clone() for k, v in run.net.state_dict().items()}
net = gated(run.net, {name: mask})
assert all(torch.equal(before[k], v) for k, v in run.net.state_dict().items())
nv.store.save(sys.argv[2], nv.store.Run.of(net, ds, run.lineage + (nv.store.Action("gate", {"kept": len(keep)}),)))
back = nv.store.load(sys.argv[2])
x = ds.batch(range(9)).x
assert torch.equal(back.net(x), net.eval()(x)) and not torch.equal(run.net(x), net(x))
"""

AFTER = """
import sys
from nervure.cli.app import _run
sys.exit(_run(["export", sys.argv[1], "--onnx", "--no-latency"]) or _run(["report", sys.argv[2]]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outside package, installed by pip into a folder of its own."""
    place = tmp_path_factory.mktemp("stranger")
    assert len(PACKAGE.strip().splitlines()) <= 80
    (place / "stranger.py").write_text(PACKAGE)
    (place / "pyproject.toml").write_text(PROJECT)
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
    ]
    subprocess.run([*install, "--target", str(place / "site"), str(place)], check=True, capture_output=True)
    return place / "site"


def run(site: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stderr
    return done


def command(out: Path, pause: float) -> list[str]:
    pulse = f"pulse:{json.dumps({'pause': pause})}"
    how = [
        "--epochs",
        "3",
        "--lr",
        "0.003",
        "--objective",
        "focal",
        "--callback",
        pulse,
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    return ["-m", "nervure", "train", "digits", "--net", "lenet5", *how, "-o", str(out)]


def train_and_kill(site: Path, out: Path) -> None:
    """Start training, and kill the process as soon as its first checkpoint is there."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *command(out, 0.05)], env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (out / "checkpoint" / "state.safetensors").is_file() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "checkpoint" / "state.safetensors").is_file()
    assert not (out / "run.json").exists()


# slow: seven fresh processes, each of which imports torch
@pytest.mark.slow
def test_the_stranger(site: Path, tmp_path: Path) -> None:
    whole, cut, gated = tmp_path / "whole", tmp_path / "cut", tmp_path / "gated"
    run(site, *command(whole, 0.05))
    train_and_kill(site, cut)
    run(site, *command(cut, 0.05), "--resume")
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()

    run(site, "-c", JUDGE, str(cut), str(gated))
    found = json.loads(run(site, "-m", "nervure", "evaluate", str(gated), "--json").stdout)
    assert found["metrics"]["accuracy"] > 0.3
    record = json.loads((gated / "run.json").read_text())
    assert [step["kind"] for step in record["origin"]["steps"]] == ["gate"]
    assert [action["name"] for action in record["lineage"]] == ["train", "gate"]

    run(site, "-c", AFTER, str(gated), str(cut))
    assert (gated / "exports" / "model.onnx").stat().st_size > 1000
    page = (cut / "report.html").read_text()
    beats = re.search(r"Pulse &lt;of&gt; weights: (\d+) beats", page)
    assert beats is not None
    assert int(beats.group(1)) == 3 * 10  # three epochs of ten steps, seen whole in spite of the kill


def test_without_the_package_its_run_is_refused_by_name(site: Path, tmp_path: Path) -> None:
    from nervure import nets
    from nervure.nets import Origin, Step
    from nervure.nets.origin import attach, origin_of
    from nervure.store import save

    net = nets.build("lenet5", in_shape=(1, 8, 8), classes=10)
    origin = origin_of(net)
    assert origin is not None
    attach(net, Origin(origin.base, (Step("gate", {"gates": {}}),)))
    save(tmp_path / "run", net)
    done = subprocess.run(
        [sys.executable, "-m", "nervure", "evaluate", str(tmp_path / "run")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "unknown structural step 'gate'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
