"""The one training loop, evaluation, and the worker that other processes run."""

from nervure.train.callbacks import Callback
from nervure.train.cycles import cycles
from nervure.train.evaluate import Evaluation, evaluate, predict
from nervure.train.fit import fit
from nervure.train.loop import Loop, Progress
from nervure.train.optimizer import Change, Kept
from nervure.train.recipe import CallbackSpec, Recipe

__all__ = [
    "Callback",
    "CallbackSpec",
    "Change",
    "Evaluation",
    "Kept",
    "Loop",
    "Progress",
    "Recipe",
    "cycles",
    "evaluate",
    "fit",
    "predict",
]
