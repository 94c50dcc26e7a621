"""The subjects that were found, with numbers; a subject can be seen in several stretches of a clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from redetail.identity import Descriptor, mean_descriptor
from redetail.region import Region


@dataclass(frozen=True)
class FoundSubject:
    """A subject, its number (from 1, in the order of ``redetail detect``), and the stretches in which it is seen.

    ``sharpness``: see :func:`redetail.imaging.sharpness.sharpness`; None if it was not measured.
    """

    number: int
    regions: tuple[Region, ...]
    sharpness: float | None = None

    @property
    def label(self) -> str:
        return self.regions[0].label

    @property
    def kind(self) -> str:
        """What the subject is: its label without the number that distinguishes tracks of one kind."""
        name, _, number = self.label.rpartition(" ")
        return name if number.isdecimal() and name else self.label

    @property
    def confidence(self) -> float:
        """Mean over its frames, 0..1."""
        frames = [len(region) for region in self.regions]
        return float(np.average([region.confidence for region in self.regions], weights=frames))

    @property
    def sides(self) -> list[NDArray[np.float64]]:
        """The shorter side of its box in every frame of every stretch, in pixels."""
        return [(region.boxes[:, 2:] - region.boxes[:, :2]).min(axis=1) for region in self.regions]

    @property
    def side(self) -> float:
        """Median of the shorter side of its box, in pixels."""
        return float(np.median(np.concatenate(self.sides)))

    @property
    def descriptor(self) -> Descriptor | None:
        """Mean descriptor of its face; None if it has no face, or only one too small to be described."""
        return mean_descriptor([region.descriptor for region in self.regions if region.descriptor is not None])

    def meets(self, other: FoundSubject) -> bool:
        """Whether both are seen in the same frame, and so cannot be one person."""
        return any(
            one.start < two.stop and two.start < one.stop for one in self.regions for two in other.regions
        )  # fmt: skip

    def named(self, name: int | str) -> bool:
        """Whether a number or a label means this subject."""
        return name in (self.number, self.label)

    def __str__(self) -> str:
        return f"{self.number} ({self.label})"


def numbered(regions: Iterable[Region]) -> list[FoundSubject]:
    """The subjects that regions show, in the order of the regions; regions of one person become one subject."""
    people: dict[object, list[Region]] = {}
    for index, region in enumerate(regions):
        people.setdefault(("alone", index) if region.person is None else region.person, []).append(region)
    return [FoundSubject(number, tuple(seen)) for number, seen in enumerate(people.values(), 1)]
