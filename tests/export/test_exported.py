from __future__ import annotations

import copy
import dataclasses
import errno
import os

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from nervure.data.dataset import Preprocessing
from nervure.errors import InputError, NervureError
from nervure.export import formats, metadata, write
from nervure.nets.origin import Base, Origin, attach

X = torch.linspace(0, 16, 12).reshape(4, 3)


def _write(path, net=None, **changes):
    given = {"samples": X, "preprocessing": Preprocessing(1 / 16)} | changes
    return write(net or nn.Linear(3, 2), path, "safetensors", **given)


class TestWritten:
    @pytest.mark.parametrize("name", formats.names())
    @pytest.mark.parametrize("kind", ["image", "series"])
    def test_the_file_passed_the_gate_and_stands_alone(self, written, kind, name):
        done = written[kind].files[name]
        assert done.path.stat().st_size == done.bytes
        assert 0 <= done.largest_difference <= 1e-4
        assert done.samples == len(written[kind].x)
        assert sorted(path.name for path in done.path.parent.iterdir()) == sorted(f"net.{n}" for n in formats.names())

    @pytest.mark.parametrize("name", formats.names())
    def test_every_format_says_the_same_of_itself(self, written, name):
        case = written["image"]
        held = metadata(case.files[name].path)
        assert held["names"] == ["a", "b", "ü"]
        assert Preprocessing.from_json(held["preprocessing"]) == case.preprocessing
        assert held["task"] == "classification"
        assert held["in_shape"] == [2, 5, 5]
        assert held["origin"] == {"base": {"spec": "tiny"}, "steps": []}
        assert held["version"]

    @pytest.mark.parametrize("name", formats.names())
    @pytest.mark.parametrize(
        "preprocessing", [Preprocessing(0.5, each="min-max"), Preprocessing(1.0, (0.1, 0.2), (0.5, 0.7), clip=True)]
    )
    @pytest.mark.parametrize("kind", ["image", "series"])
    def test_ranges_of_samples_and_of_data_are_in_the_graph(self, nets, tmp_path, kind, name, preprocessing):
        """The gate holds the file against the network at three batch sizes; a constant sample is among these."""
        generator = torch.Generator().manual_seed(0)
        mask = None
        if kind == "image":
            net, x = nets.Small(), torch.rand((5, 2, 5, 5), generator=generator)
        else:
            net, x = nets.Series(), torch.rand((5, 2, 9), generator=generator)
            mask = torch.arange(9) < torch.tensor([9, 4, 1, 7, 9])[:, None]
        x[1] = 0.25
        path = tmp_path / f"net{formats.get(name).suffix}"
        done = write(net, path, name, samples=x, mask=mask, preprocessing=preprocessing, task="classification")
        assert done.largest_difference < 1e-5
        assert Preprocessing.from_json(metadata(path)["preprocessing"]) == preprocessing

    @pytest.mark.parametrize("name", formats.names())
    def test_flags_and_sums_are_outputs_too(self, tmp_path, name):
        class Several(nn.Linear):
            def forward(self, x):
                logits = super().forward(x)
                return {"logits": logits, "keep": logits > 0, "mean": logits.mean()}

        done = write(Several(3, 2), tmp_path / f"a.{name}", name, samples=X, task="classification")
        assert 0 <= done.largest_difference <= 1e-4

    def test_the_given_network_is_untouched(self, written):
        net = written["image"].net
        assert net.training
        assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())
        assert not [hook for module in net.modules() for hook in module._forward_hooks]

    def test_the_global_generator_is_untouched(self, tmp_path):
        before = torch.random.get_rng_state()
        net = nn.Linear(3, 2)
        torch.random.set_rng_state(before)
        _write(tmp_path / "a.safetensors", net)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_the_networks_own_origin_is_written(self, tmp_path):
        origin = Origin(Base("name", "tiny", (3,), 2, {}))
        done = _write(tmp_path / "a.safetensors", attach(nn.Linear(3, 2), origin))
        assert Origin.from_json(metadata(done.path)["origin"]) == origin


def _spoiled(job):
    own = copy.deepcopy(job.deployed)
    with torch.no_grad():
        next(own.net.parameters()).add_(0.05)
    return dataclasses.replace(job, deployed=own)


class TestGate:
    @pytest.mark.parametrize("name", ["onnx", "pt2"])
    def test_a_file_with_other_weights_is_refused_and_leaves_nothing(self, monkeypatch, tmp_path, image_case, name):
        from nervure.export.graph import capture

        monkeypatch.setattr(f"nervure.export.{name}_file.capture", lambda job: capture(_spoiled(job)))
        with pytest.raises(NervureError, match=rf"{name}: .* differs from the network's by .* on sample \d") as caught:
            write(
                image_case.net,
                tmp_path / f"a.{name}",
                name,
                samples=image_case.x,
                preprocessing=image_case.preprocessing,
            )
        assert caught.value.exit_code == 1
        assert list(tmp_path.iterdir()) == []

    def test_a_refused_file_leaves_the_one_that_was_there(self, monkeypatch, tmp_path):
        from nervure.export import safetensors_file

        net = nn.Linear(3, 2)
        path = _write(tmp_path / "a.safetensors", net).path
        before = path.read_bytes()
        row = safetensors_file.safetensors_format
        spoiled = dataclasses.replace(row, dump=lambda job: row.dump(_spoiled(job)))
        monkeypatch.setattr(safetensors_file, "safetensors_format", spoiled)
        with pytest.raises(NervureError, match="safetensors"):
            _write(path, net, overwrite=True)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_wrong_preprocessing_in_the_file_is_caught(self, monkeypatch, tmp_path):
        """The reference does not go through the module that is exported."""
        from nervure.export import exported

        real = exported.Deployed
        monkeypatch.setattr(exported, "Deployed", lambda net, preprocessing, task: real(net, Preprocessing(), task))
        with pytest.raises(NervureError, match="differs"):
            _write(tmp_path / "a.safetensors")

    def test_a_stop_half_way_leaves_nothing(self, monkeypatch, tmp_path):
        def stop(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr("nervure.export.exported.check", stop)
        with pytest.raises(KeyboardInterrupt):
            _write(tmp_path / "a.safetensors")
        assert list(tmp_path.iterdir()) == []


class TestBadInput:
    def test_an_existing_file_is_refused_unless_told(self, tmp_path):
        path = tmp_path / "a.safetensors"
        path.write_text("mine")
        with pytest.raises(InputError, match="exists already"):
            _write(path)
        assert path.read_text() == "mine"
        assert _write(path, overwrite=True).bytes == path.stat().st_size

    def test_a_missing_folder(self, tmp_path):
        with pytest.raises(InputError, match="no such folder; make it first"):
            _write(tmp_path / "nowhere" / "a.safetensors")

    def test_a_folder_in_place_of_a_file(self, tmp_path):
        (tmp_path / "a.safetensors").mkdir()
        with pytest.raises(InputError, match="is a folder"):
            _write(tmp_path / "a.safetensors", overwrite=True)

    def test_another_ending(self, tmp_path):
        with pytest.raises(InputError, match=r"ends in \.safetensors"):
            _write(tmp_path / "a.bin")

    @pytest.mark.parametrize(
        ("code", "said"),
        [(errno.ENOSPC, "no room left"), (errno.EROFS, "the file system is read-only")],
    )
    def test_no_room_and_read_only(self, monkeypatch, tmp_path, code, said):
        def full(descriptor):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=rf"cannot write .*a\.safetensors: {said}"):
            _write(tmp_path / "a.safetensors")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(InputError, match="cannot write"):
            _write(tmp_path / "a.safetensors")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"samples": torch.zeros(0, 3)}, "at least one"),
            ({"samples": torch.full((2, 3), float("nan"))}, "NaN or infinity"),
            ({"samples": torch.zeros(2, 5)}, "does not run"),
            ({"names": ("a", "b", "c"), "task": "classification"}, "3 class names for 2 outputs"),
            ({"mask": torch.ones(2, 2, dtype=torch.bool)}, "mask of shape"),
            ({"tolerance": 0.0}, "tolerance"),
            ({"task": "clasification"}, "did you mean 'classification'"),
        ],
    )
    def test_what_cannot_be_used(self, tmp_path, changes, said):
        with pytest.raises(InputError, match=said):
            _write(tmp_path / "a.safetensors", **changes)
        assert list(tmp_path.iterdir()) == []

    def test_weights_that_are_still_computed(self, tmp_path):
        net = nn.Linear(3, 2)
        prune.l1_unstructured(net, "weight", 0.5)
        net(X)
        with pytest.raises(InputError, match=r"cannot be copied .*prune\.remove"):
            _write(tmp_path / "a.safetensors", net)

    def test_weights_of_another_number_type(self, tmp_path):
        with pytest.raises(InputError, match=r"weight is torch\.float64; .*\.float\(\)"):
            _write(tmp_path / "a.safetensors", nn.Linear(3, 2).double())


class TestMetadata:
    @pytest.mark.parametrize("name", formats.names())
    def test_a_damaged_file(self, tmp_path, name):
        path = tmp_path / f"a.{name}"
        path.write_bytes(b"damaged beyond repair")
        with pytest.raises(InputError, match=f"not a readable {name} file"):
            metadata(path)

    def test_no_file_and_no_format(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            metadata(tmp_path / "a.onnx")
        (tmp_path / "a.txt").write_text("")
        with pytest.raises(InputError, match="there are: onnx"):
            metadata(tmp_path / "a.txt")
