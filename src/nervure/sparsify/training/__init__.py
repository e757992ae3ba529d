"""Edges that go while a network trains: masks judged anew each epoch, and the baselines of training."""

from nervure.sparsify.training.lottery import lottery
from nervure.sparsify.training.sparse import SparseTraining
from nervure.sparsify.training.train_with import train_with

__all__ = ["SparseTraining", "lottery", "train_with"]
