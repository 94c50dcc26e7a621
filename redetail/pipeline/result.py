"""What a run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redetail.pipeline.report import Report
from redetail.region import Region
from redetail.video.base import RGB


@dataclass(frozen=True)
class Result:
    """What :func:`redetail.detail` did. ``frames`` are the result where no output was named, else None.

    ``faults`` are sentences about what of the source is missing or damaged; they are among the notices, too.
    """

    output: Path | None
    report: Report
    frames: RGB | None = None
    faults: tuple[str, ...] = ()

    @property
    def regions(self) -> list[Region]:
        """The subjects that were detailed, in the order of the report."""
        return self.report.plan.regions

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the user."""
        return self.report.notices
