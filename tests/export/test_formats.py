from __future__ import annotations

import builtins
import importlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from nervure.errors import InputError, MissingExtra
from nervure.export import Deployed, Job, formats, write
from nervure.export.formats import extra


@pytest.mark.parametrize("name", formats.names())
def test_every_row_is_a_format_whose_suffix_is_its_name(name):
    assert formats.get(name).suffix == f".{name}"


def test_a_missed_name_answers_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'onnx'"):
        write(nn.Linear(2, 2), tmp_path / "a.onx", "onx", samples=torch.rand(3, 2))


def test_the_example_holds_no_sample():
    job = Job(Deployed(nn.Identity()), (2, 9), True, ("output",), {})
    x, mask = job.example()
    assert x.shape == (2, 2, 9)
    assert not x.any()
    assert mask.shape == (2, 9)
    assert job.inputs == ("x", "mask")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package):
    real = importlib.import_module

    def absent(name, *args):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match=rf"{package}.*nervure\[export\]"):
        extra(package, "writing ONNX")


def test_onnx_without_its_packages_writes_nothing(monkeypatch, tmp_path, image_case: SimpleNamespace):
    from nervure.export import onnx_file

    def absent(package, job):
        raise MissingExtra(package, "export", job)

    monkeypatch.setattr(onnx_file, "extra", absent)
    with pytest.raises(MissingExtra, match="pip install"):
        write(image_case.net, tmp_path / "a.onnx", "onnx", samples=image_case.x)
    assert list(tmp_path.iterdir()) == []


def test_other_formats_need_no_onnx(monkeypatch, tmp_path):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.split(".")[0] in {"onnx", "onnxscript", "onnxruntime"}:
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    net = nn.Linear(2, 2)
    assert write(net, tmp_path / "a.safetensors", "safetensors", samples=torch.rand(3, 2)).bytes > 0
