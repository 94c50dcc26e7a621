"""Batches: which clips belong to them, where their outputs go, and what became of each clip."""

from redetail.batch.inputs import NAME, VIDEOS, BatchClip, batch_clips, sources_of
from redetail.batch.outcomes import Outcome, State, write_summary
from redetail.batch.run import run_batch

__all__ = [
    "NAME",
    "VIDEOS",
    "BatchClip",
    "Outcome",
    "State",
    "batch_clips",
    "run_batch",
    "sources_of",
    "write_summary",
]
