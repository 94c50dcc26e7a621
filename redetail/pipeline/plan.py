"""The plan: who is where, and how each subject is cropped and scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redetail.geometry.crop import Padding, working_crop
from redetail.pipeline.stretches import Budgets, Stretch, stretches_of
from redetail.region import Region, Size
from redetail.selection.filter_base import LeftOut
from redetail.settings import Settings


@dataclass(frozen=True)
class CropPlan:
    """How one region is enhanced: its crop is scaled to ``working`` pixels, then padded for the engine.

    ``settings`` are the region's complete settings; ``track`` is its number among all subjects that were found, from 1;
    ``stretches`` are the parts in which the engine gets its frames (empty: all frames in one part).
    """

    region: Region
    working: Size
    padding: Padding
    settings: Settings = field(default_factory=Settings)
    track: int = 1
    stretches: tuple[Stretch, ...] = ()

    def __post_init__(self) -> None:
        if not self.stretches:
            object.__setattr__(self, "stretches", (Stretch(0, len(self.region)),))

    @property
    def scale(self) -> float:
        """Working pixels per source pixel."""
        return self.working.width / self.region.size.width


@dataclass(frozen=True)
class Plan:
    """What will be detailed in frames ``start`` to ``stop`` of a clip, and what the user should know about it.

    ``settings`` are the settings of the run, including the engine's defaults (None: not known); ``placement`` says
    where and how the engine computes; ``budgets`` determine how regions are cut into stretches (None: every region is
    one stretch); ``left_out`` are the subjects that were found and are not detailed; ``noise_level`` is the share of
    noise, 0 to 1, that the settings start from, if the model's schedule has a shift (None: it has no shift);
    ``background`` are tiles over whole frames, if the engine enlarges everything but the subjects.
    """

    start: int
    stop: int
    size: Size
    crops: tuple[CropPlan, ...]
    notices: tuple[str, ...] = ()
    settings: Settings | None = None
    placement: Mapping[str, Any] = field(default_factory=dict)
    budgets: Budgets | None = None
    left_out: tuple[LeftOut, ...] = ()
    noise_level: float | None = None
    background: tuple[CropPlan, ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def regions(self) -> list[Region]:
        """The subjects, in the order of detailing."""
        return [crop.region for crop in self.crops]

    @property
    def all_crops(self) -> tuple[CropPlan, ...]:
        """Everything that the engine processes: first the subjects, then the tiles of the background."""
        return *self.crops, *self.background

    @property
    def look_behind(self) -> int:
        """The maximum number of earlier frames that joining a stretch reads; all frames before those are final."""
        return max((stretch.shared for crop in self.all_crops for stretch in crop.stretches), default=0)


def crop_plans(regions: Sequence[Region], settings: Settings, size_multiple: int) -> tuple[CropPlan, ...]:
    """The plan for every region: working size and padding by the settings' scale rule, and a single stretch."""
    return tuple(crop_plan(region, settings, size_multiple, number) for number, region in enumerate(regions, 1))


def crop_plan(
    region: Region, settings: Settings, size_multiple: int, track: int, budgets: Budgets | None = None
) -> CropPlan:
    """The plan for one region: its working size, padding and stretches."""
    # The largest box of the track decides. If the scale changed within a window, the subject's sharpness would, too.
    sides = region.boxes[:, 2:] - region.boxes[:, :2]
    width, height = map(float, sides.max(axis=0))
    working, padding = working_crop(region.size, (width, height), settings, size_multiple, shrink=True)
    if budgets is None:
        return CropPlan(region, working, padding, settings, track)
    stretches = stretches_of(len(region), padding.padded(working), budgets, settings)
    return CropPlan(region, working, padding, settings, track, stretches)
