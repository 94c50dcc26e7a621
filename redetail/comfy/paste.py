"""Pasting the crops of SEGS into frames that are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import Pixels, ReadCrops, Segment, crop_reader, segment_for
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import RegionError
from redetail.imaging import blend
from redetail.imaging.masks import feather as feathered
from redetail.pipeline.paste import crop_layer, paste_layers
from redetail.region import Box


def pasted(
    frames: Tensor,
    segs: tuple[tuple[int, int], list[Any]],
    feather: int,
    alpha: float = 255,
    reference: Tensor | None = None,
) -> Tensor:
    """New frames (F, H, W, C) float32 with every segment's crops blended in, in order; those given are not changed.

    ``alpha`` 0..255 is how strongly; ``reference``: frames whose pixels are pasted in place of the segments' own
    crops. A segment with neither is skipped. Raises :class:`~redetail.errors.RegionError` naming the segment where
    crops or masks are not as many as the frames.
    """
    out = frames.to(torch.float32, copy=True)
    header, segments = segs
    for tracked, group in groupby(
        enumerate(segments), lambda item: reference is None and isinstance(item[1], TrackedSeg)
    ):
        if tracked:
            _paste_tracked(out.numpy(), [segment for _, segment in group], feather, alpha)
            continue
        for number, segment in group:
            if reference is None and segment.cropped_image is None:
                continue
            _check_count(segment, number, len(frames), reference)
            placed = segment_for(segment, header, frames, number)
            source = placed if reference is None else _without_stills(placed)
            _paste(out.numpy(), placed, crop_reader(frames if reference is None else reference, source), feather, alpha)
    return out


def _paste(out: NDArray[Any], segment: Segment, read: ReadCrops, feather: int, alpha: float) -> None:
    """Blend one segment's crops into ``out``, frame by frame and in place."""
    x1, y1, x2, y2 = (int(side) for side in segment.placed.window.as_tuple())
    masks = segment.placed.masks
    shared = feathered(masks[0], feather) * np.float32(alpha / 255) if len(masks) == 1 else None
    whole = Box(0, 0, segment.size.width, segment.size.height)
    for index in range(len(out)):
        mask = feathered(masks[index], feather) * np.float32(alpha / 255) if shared is None else shared
        under = out[index, y1:y2, x1:x2, :3]
        crop: Pixels = read(index, index + 1, segment.size)[0]
        under[...] = blend.paste(under, crop, mask, whole)


def _paste_tracked(out: NDArray[Any], segments: Sequence[TrackedSeg], feather: int, alpha: float) -> None:
    """Paste what was changed under moving windows into ``out``, frame by frame and in place: changes add up."""
    changed = [(fitted.region, fitted.crops) for fitted in (one.fitted(out, "the image") for one in segments)]
    for index in range(len(out)):
        frame = out[index, ..., :3]
        layers = [
            crop_layer(frame, region, index - region.start, crops[index - region.start], feather)
            for region, crops in changed
            if crops is not None and region.start <= index < region.stop
        ]
        if layers:
            pasted = paste_layers(frame, layers)
            frame[...] = pasted if alpha == 255 else frame + np.float32(alpha / 255) * (pasted - frame)


def _check_count(segment: Any, number: int, frames: int, reference: Tensor | None) -> None:
    """Fewer pictures than frames is a mistake that must not pass as a shorter clip."""
    pictures, what = (segment.cropped_image, "cropped images") if reference is None else (reference, "reference images")
    count = len(pictures) if np.ndim(pictures) == 4 or isinstance(pictures, Tensor) else 1
    if count < frames:
        raise RegionError(
            f"Segment {number} ({segment.label!r}) has {count} {what} for {frames} frames; give one for each."
        )


def _without_stills(segment: Segment) -> Segment:
    return Segment(segment.name, segment.source, segment.placed, None)
