from __future__ import annotations

import numpy as np
import pytest
import torch

from nervure.cluster.heads import Group
from nervure.cluster.heads.centres import CentresHead
from nervure.cluster.watch import health, quality


def look(latents: torch.Tensor, centres: torch.Tensor, assigned: list[int]) -> tuple[dict[str, float], tuple[str, ...]]:
    head = CentresHead(len(centres), latents.shape[1])
    head.centres.copy_(centres)
    found = health(head, Group.alone(latents), torch.tensor(assigned))
    return found.logs, found.trouble


def test_a_healthy_clustering_has_nothing_to_tell() -> None:
    logs, trouble = look(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([[0.05], [5.05]]), [0, 0, 1, 1])
    assert not trouble
    assert logs["clusters"] == 2
    assert logs["effective_clusters"] == pytest.approx(2)
    assert logs["confidence"] == pytest.approx(1, abs=1e-3)
    # a quarter of the samples is half of an even share
    assert not look(torch.tensor([[0.0], [0.1], [0.2], [5.1]]), torch.tensor([[0.1], [5.05]]), [0, 0, 0, 1])[1]
    assert logs["latent_spread"] == pytest.approx(float(np.std([0, 0.1, 5, 5.1])), rel=1e-5)


def test_each_collapse_is_named() -> None:
    _, trouble = look(
        torch.zeros(40, 1) + 1e-5 * torch.randn(40, 1), torch.tensor([[0.0], [0.0], [1.0]]), [0] * 39 + [1]
    )
    assert trouble[0] == "clusters without a member: 2"
    assert trouble[1] == "clusters with less than a fifth of an even share: 1"
    assert trouble[2] == "clusters that lie on another one: 1"
    assert trouble[3].startswith("latents have lost their scale")


def test_quality_leaves_unknown_labels_out() -> None:
    found = quality(np.array([0, 0, 1, -1]), np.array([1, 1, 0, 0]))
    assert found == {"acc": 1.0, "nmi": pytest.approx(1.0), "ari": pytest.approx(1.0)}
    assert quality(np.full(3, -1), np.zeros(3, dtype=np.int64)) == {}
