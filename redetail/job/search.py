"""Finds out who is where in a job's clip, without a model."""

from __future__ import annotations

from redetail.job.job import Job
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.selection import Search, SelectedRegions, select_regions
from redetail.settings import resolve


def search(job: Job, *, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None) -> SelectedRegions:
    """Find the subjects of a job, and which filters leave out whom; raises whatever selections and filters raise."""
    job.check()
    crop_factor = resolve(job.settings, {}).crop_factor
    looking = Search(job.open_source(), job.span, crop_factor, progress, cancel)
    return select_regions(job.selection, looking, job.filters)
