"""Pruning while training: iterative pruning by votes, sparse evolutionary training, and layer after layer."""

from nervure.prune.training.carry import parameter_map, parameter_masks
from nervure.prune.training.evolve import SparseEvolution
from nervure.prune.training.iterative import IterativeVotes
from nervure.prune.training.layerwise import cut_layer, layerwise
from nervure.prune.training.masks import Masked, WeightMask
from nervure.prune.training.recipes import iterative_recipe
from nervure.prune.training.rules import Cycles, Rules, Verdict, dense_weights, remaining, shrunk

__all__ = [
    "Cycles",
    "IterativeVotes",
    "Masked",
    "Rules",
    "SparseEvolution",
    "Verdict",
    "WeightMask",
    "cut_layer",
    "dense_weights",
    "iterative_recipe",
    "layerwise",
    "parameter_map",
    "parameter_masks",
    "remaining",
    "shrunk",
]
