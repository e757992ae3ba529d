from __future__ import annotations

from collections.abc import Callable

import pytest

from nervure.errors import InputError
from nervure.study.cluster_trial import cluster_trial
from nervure.study.iterative_trial import iterative_trial
from nervure.study.prune_trial import agreement_trial, prune_trial
from nervure.study.sparsify_trial import training_trial
from nervure.study.trials import Job, Measured


@pytest.mark.parametrize(
    ("trial", "settings", "said"),
    [
        (agreement_trial, {"criteria": ["l1"], "samples": 0}, "trial 'prune-agreement': samples: "),
        (agreement_trial, {"criteria": []}, "trial 'prune-agreement': criteria: "),
        (prune_trial, {"criteria": ["l1"]}, "trial 'prune': criteria: Extra inputs"),
        (iterative_trial, {}, "trial 'prune-iterative': net: Field required"),
        (training_trial, {"net": "mlp", "train_samples": 0}, "trial 'sparsify-training': train_samples: "),
    ],
)
def test_what_is_wrong_names_the_trial_and_the_field(
    trial: Callable[[Job], Measured], settings: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=f"^{said}"):
        trial(Job("digits", settings=settings))


def test_what_is_wrong_with_all_settings_together_names_no_field() -> None:
    with pytest.raises(
        InputError, match=r"^trial 'cluster': keep and only_labelled are of labels; give a supervision$"
    ):
        cluster_trial(Job("digits", settings={"method": "aec", "keep": 0.5}))
