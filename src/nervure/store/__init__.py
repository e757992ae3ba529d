"""Runs on disk: safetensors and JSON, atomic writes, lineage."""

from nervure.store.folder import annotate, is_run, load, save
from nervure.store.run import Action, Run

__all__ = ["Action", "Run", "annotate", "is_run", "load", "save"]
