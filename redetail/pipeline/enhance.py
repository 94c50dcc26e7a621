"""Pass 2: enhance. Crops go to disk, come back stretch by stretch, and the engine sees the frames of one together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from redetail.engines.arrays import enhance_arrays
from redetail.engines.base import Engine, Pixels
from redetail.engines.prompt import starting_at
from redetail.imaging import masks, resample
from redetail.imaging.colour import match_low_frequencies
from redetail.pipeline.hints import RegionHints
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.spool import CropStore
from redetail.pipeline.stretches import Stretch
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress
from redetail.settings import Settings
from redetail.video import Frame

_LOG = logging.getLogger(__name__)
_NO_HINTS = RegionHints()


def spool_crops(frames: Iterable[Frame], plans: Sequence[CropPlan], stores: Sequence[CropStore]) -> None:
    """Read frames once and write every region's crops, scaled to its working size, to its store."""
    for frame in frames:
        for plan, store in zip(plans, stores, strict=True):
            index = frame.index - plan.region.start
            if 0 <= index < len(plan.region):
                pixels = resample.crop(frame.pixels, plan.region.window(index), plan.working)
                store.write(index, pixels[None])


def enhance_region(
    crop: CropPlan,
    crops: CropStore,
    results: Sequence[CropStore],
    engine: Engine,
    settings: Settings,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    hints: RegionHints = _NO_HINTS,
) -> None:
    """Enhance all frames of a region, each stretch into its own one of ``results``; progress counts its frames.

    A prompt's key frames are frames of the clip; the engine counts from the region's first.
    """
    settings = starting_at(settings, crop.region.start)
    if settings.context_loop and len(crop.stretches) > 1:
        _LOG.warning("%s is too long for a closed loop, since it is enhanced in parts.", crop.region.label)
        settings = replace(settings, context_loop=False)
    done = 0
    for stretch, result in zip(crop.stretches, results, strict=True):
        share = _Share(progress, done, stretch.added, len(crops))
        taken = crops.read(stretch.start, stretch.stop)
        result.write(0, enhance_crops(taken, crop, stretch, engine, settings, share, cancel, hints))
        done += stretch.added


def enhance_crops(
    crops: Pixels,
    crop: CropPlan,
    stretch: Stretch,
    engine: Engine,
    settings: Settings,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    hints: RegionHints = _NO_HINTS,
) -> Pixels:
    """One stretch of a region, (n, h, w, 3) at working size: pad, enhance, unpad, keep the source's colours."""
    mask = noise_masks(crop, stretch.start, stretch.stop, settings.mask_feather)
    padded = resample.pad(crops, crop.padding)
    result = enhance_arrays(
        engine,
        padded,
        resample.pad(mask, crop.padding),
        settings,
        first_frame=stretch.start,
        progress=progress,
        cancel=cancel,
        hints=hints.of(crop, stretch, padded),
    )
    result = resample.unpad(result, crop.padding)
    return match_low_frequencies(result, crops, mask) if settings.color_match else result


def noise_masks(crop: CropPlan, start: int, stop: int, feather: int) -> NDArray[np.float32]:
    """What is re-diffused in frames start..stop of a region: (n, h, w) 0..1 at working size.

    Feathered in pixels of the source, then scaled: the order of the detailer node.
    """
    out = np.empty((stop - start, *crop.working.shape), np.float32)
    for index in range(start, stop):
        out[index - start] = masks.resize_mask(masks.feather(crop.region.mask(index), feather), crop.working)
    return out


class _Share:
    """Turns an engine's progress (model calls of one stretch) into frames of the whole region."""

    def __init__(self, progress: ProgressCallback, before: int, own: int, total: int) -> None:
        self._progress, self._before, self._own, self._total = progress, before, own, total

    def __call__(self, report: Progress) -> None:
        done = self._before + self._own * (report.done / report.total if report.total else 0)
        self._progress(Progress("detail", done, self._total))
