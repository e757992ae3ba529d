from __future__ import annotations

import torch

from nervure.cluster.links import Partners


def test_partners_of_a_batch() -> None:
    partners = Partners([(0, 5), (5, 7)], [(2, 0)])
    rows, other, must = partners.of(torch.tensor([5, 1, 0]))
    found = set(zip(rows.tolist(), other.tolist(), must.tolist(), strict=True))
    assert found == {(0, 0, True), (0, 7, True), (2, 5, True), (2, 2, False)}


def test_loss_by_hand() -> None:
    partners = Partners([(0, 1)], [(0, 2)])
    beliefs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    logs = torch.tensor([[0.6, 0.4], [0.5, 0.5]]).log()
    together, apart = 0.6 * 0.8 + 0.4 * 0.2, 0.6 * 0.3 + 0.4 * 0.7
    expected = -(torch.tensor(together).log() + torch.tensor(1 - apart).log()) / 2
    assert torch.allclose(partners.loss(logs, torch.tensor([0, 9]), beliefs), expected, atol=1e-6)
    more = partners.loss(logs.repeat(2, 1), torch.tensor([0, 9, 8, 7]), beliefs)  # the mean is over all samples
    assert torch.allclose(more, expected / 2, atol=1e-6)


def test_a_batch_without_links_has_no_loss_but_a_gradient() -> None:
    logs = torch.zeros(2, 2, requires_grad=True)
    loss = Partners([(0, 1)], []).loss(logs, torch.tensor([5, 6]), torch.full((9, 2), 0.5))
    assert float(loss.detach()) == 0
    assert torch.autograd.grad(loss, logs)[0].abs().sum() == 0
