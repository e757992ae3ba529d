"""A run with the form that the store gives, made of plain values."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nervure.evidence import Curve, Figure, Matrix, Table


@dataclasses.dataclass
class FakeRun:
    path: Path | None = Path("runs/base")
    net: object = None
    history: list = dataclasses.field(default_factory=list)
    metrics: dict = dataclasses.field(default_factory=dict)
    evidence: dict = dataclasses.field(default_factory=dict)
    lineage: tuple = ()
    names: tuple = ("cat", "dog")
    task: str = "classification"
    source: str = "digits"
    fingerprint: str = "0123456789abcdef0123"
    versions: dict = dataclasses.field(default_factory=lambda: {"nervure": "0.1.0"})
    preprocessing: object = None


@pytest.fixture
def fake_run():
    return FakeRun


@pytest.fixture
def whole_run():
    history = [
        {
            "epoch": at + 1,
            "train_loss": 2.0 / (at + 1),
            "validation_accuracy": 0.5 + at / 20,
            "lr": 0.1,
            "seconds": 40.0,
        }
        for at in range(6)
    ]
    evidence = {
        "confusion": Matrix(title="Confusion", alt="diagonal", values=np.eye(2) * 9, rows=["cat", "dog"], counts=True),
        "cost": Table(title="Cost by layer", alt="one layer", columns=["layer", "MACs"], rows=[["conv1", 1200]]),
        "calibration": Curve(title="Calibration", alt="even", x=np.arange(3), y=[[0, 1, 2]]),
        "zz-own": Figure(title="Something of its own", alt="own", kind="rose", data={"a": np.arange(3)}),
    }
    lineage = (
        {"action": "train", "seed": 4, "settings": {"epochs": 6, "batch": 128}, "command": "nervure train digits"},
        {
            "action": "prune",
            "seed": None,
            "settings": {"criterion": "l1", "layers": list(range(20))},
            "command": "nervure prune base",
        },
    )
    metrics = {"accuracy": 0.75, "parameters": 61706.0, "macs": 416520.0}
    return FakeRun(history=history, evidence=evidence, lineage=lineage, metrics=metrics)
