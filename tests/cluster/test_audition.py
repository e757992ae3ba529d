from __future__ import annotations

import numpy as np

from nervure import cluster
from nervure.cluster.audition import tried_seeds


def test_seeds_are_different_and_follow_the_first() -> None:
    assert tried_seeds(3, 4)[0] == 3
    assert tried_seeds(3, 2) == tried_seeds(3, 4)[:2]
    assert len(set(tried_seeds(3, 8))) == 8
    assert tried_seeds(4, 3)[1:] != tried_seeds(3, 3)[1:]


def test_the_seed_with_the_lowest_loss_is_trained() -> None:
    """Its result is that of the seed alone, and no other seed's loss after a fifth was lower."""
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.normal(at, 0.4, size=(50, 2)) for at in ((-3, 0), (3, 0), (0, 4))])
    settings = {"epochs": 10, "lr": 5e-3}
    tried = cluster.NeuralMixture(3, n_init=3, random_state=0, **settings).fit(x)
    losses = {
        seed: cluster.NeuralMixture(3, random_state=seed, patience=0, **{**settings, "epochs": 2})
        .fit(x)
        .run_.history[-1]
        for seed in tried_seeds(0, 3)
    }
    best = min(losses, key=lambda seed: losses[seed]["train_loss"])
    alone = cluster.NeuralMixture(3, random_state=best, **settings).fit(x)
    assert tried.labels_.tolist() == alone.labels_.tolist()
    assert tried.run_.lineage[0].seed == best
