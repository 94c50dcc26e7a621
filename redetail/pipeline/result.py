"""What a run returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from redetail.pipeline.report import Report
from redetail.region import Region
from redetail.video.base import RGB


@dataclass(frozen=True)
class Result:
    """What :func:`redetail.detail` did. ``frames`` are the resulting frames if no output was named, else None.

    ``faults`` are messages about missing or damaged parts of the source; the notices include them.
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
        """Messages for the user."""
        return self.report.notices
