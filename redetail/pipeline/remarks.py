"""What the figures of a subject mean, in words: improvements and possible problems."""

from __future__ import annotations

from collections.abc import Iterator

from redetail.evaluate.verdict import CALM, SHARPER
from redetail.pipeline.measure import RegionMeasures
from redetail.pipeline.plan import CropPlan
from redetail.tracking.tracker import SURE

SHARP = 0.45
"""Finest octave (:func:`redetail.evaluate.pictures.finest_octave`) from which a picture counts as sharp. Measured on
2026-11-28 on ten faces from eight clips, 19 to 168 pixels wide: 0.38 to 0.68 unchanged (eight of them above 0.45), 0.25
to 0.34 softened to half size."""
SMALL = 24.0
"""Width in pixels of a face (140 mm) whose irises (11.7 mm) are two pixels wide, which is too little to show an eye."""
ONE_LEVEL = 1.0
"""Mean change below which most pixels of an 8-bit frame stay unchanged."""


def remarks_of(crop: CropPlan, measured: RegionMeasures) -> tuple[str, ...]:
    """Short phrases, improvements first; empty if there is nothing to say."""
    return (*_gain(measured), *_doubts(crop, measured))


def _gain(measured: RegionMeasures) -> Iterator[str]:
    if measured.mean_change is not None and measured.mean_change < ONE_LEVEL:
        yield f"changed by less than one 8-bit level ({measured.mean_change:.2f})"
    octave = measured.octave
    if octave is None or not octave.source:
        return
    sharper = octave.sharper
    if sharper > SHARPER:
        yield f"{sharper - 1:.0%} sharper"
    elif octave.source >= SHARP:
        yield "already sharp: nothing to gain"
    elif sharper < 1 / SHARPER:
        yield f"{1 - sharper:.0%} softer than before"


def _doubts(crop: CropPlan, measured: RegionMeasures) -> Iterator[str]:
    region = crop.region
    width = float((region.boxes[:, 2] - region.boxes[:, 0]).max())
    if width < SMALL and region.label.startswith("face"):
        yield f"face too small ({width:.0f} px)"
    if region.confidence < SURE:
        yield f"detection uncertain ({region.confidence:.2f})"
    calm = measured.flicker.ratio_per_detail
    if calm is not None and calm > CALM:
        yield f"relative to sharpness, flickers {calm:.1f} times as much as the source"
