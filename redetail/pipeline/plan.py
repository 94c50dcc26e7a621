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

    ``settings`` are its own, complete; ``track`` is its number among all subjects that were found, from 1;
    ``stretches`` are its frames as the engine gets them (none given: all in one).
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
    """What will be detailed in frames ``start`` to ``stop`` of a clip, and what the user should know of it.

    ``settings`` are those that it will be detailed with, complete with the engine's defaults (None: not known);
    ``placement`` is where and how the engine computes; ``budgets`` are what the stretches were cut by (None: every
    region is one stretch); ``left_out`` are the subjects that were found and are not detailed; ``noise_level`` is the
    share of noise, 0 to 1, that the settings start from, where the model's schedule has a shift (None: it has none);
    ``background`` are tiles over whole frames, where the engine enlarges what lies outside the subjects.
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
        """Subjects, then tiles of the background: all that the engine works on."""
        return *self.crops, *self.background

    @property
    def look_behind(self) -> int:
        """The most frames of earlier stretches that joining one reads: frames before its start are final."""
        return max((stretch.shared for crop in self.all_crops for stretch in crop.stretches), default=0)


def crop_plans(regions: Sequence[Region], settings: Settings, size_multiple: int) -> tuple[CropPlan, ...]:
    """Working size and padding of every region, by the settings' scale rule; each is one stretch."""
    return tuple(crop_plan(region, settings, size_multiple, number) for number, region in enumerate(regions, 1))


def crop_plan(
    region: Region, settings: Settings, size_multiple: int, track: int, budgets: Budgets | None = None
) -> CropPlan:
    """Working size, padding and stretches of one region."""
    # The largest box of the track decides: one window has one scale, or the subject would change sharpness.
    sides = region.boxes[:, 2:] - region.boxes[:, :2]
    width, height = map(float, sides.max(axis=0))
    working, padding = working_crop(region.size, (width, height), settings, size_multiple, shrink=True)
    if budgets is None:
        return CropPlan(region, working, padding, settings, track)
    stretches = stretches_of(len(region), padding.padded(working), budgets, settings)
    return CropPlan(region, working, padding, settings, track, stretches)
