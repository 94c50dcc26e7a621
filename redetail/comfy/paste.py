"""Pasting the crops of SEGS into frames that are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import Pixels, ReadCrops, Segment, crop_reader, frame_size, segment_for
from redetail.comfy.frames import enlarged_frames
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import RegionError
from redetail.geometry.scale import Scale, ratios
from redetail.imaging import blend, resample
from redetail.imaging.masks import feather as feathered
from redetail.imaging.masks import place_mask
from redetail.pipeline.blas import ONE_THREAD
from redetail.pipeline.paste import crop_layer, placed_change
from redetail.region import Box, Size


@ONE_THREAD.held()
def pasted(
    frames: Tensor,
    segs: tuple[tuple[int, int], list[Any]],
    feather: int,
    alpha: float = 255,
    reference: Tensor | None = None,
    scale: Scale | None = None,
) -> Tensor:
    """New frames (F, H, W, C) float32 with every segment's crops blended in, in order; those given are not changed.

    ``alpha`` 0..255 is how strongly; ``reference``: frames whose pixels are pasted in place of the segments' own
    crops. A segment with neither is skipped. With a ``scale`` frames are enlarged first, and what was changed is pasted
    at the output's size. Raises :class:`~redetail.errors.RegionError` naming the segment if crops or masks are not
    as many as the frames, and :class:`~redetail.errors.SettingsError` for a scale that these frames cannot have.
    """
    size = frame_size(frames)
    output = size if scale is None else scale.size(size)
    out = enlarged_frames(frames, output)
    header, segments = segs
    for tracked, group in groupby(
        enumerate(segments), lambda item: reference is None and isinstance(item[1], TrackedSeg)
    ):
        if tracked:
            before = (out if output == size else frames).numpy()
            _paste_tracked(out.numpy(), before, [segment for _, segment in group], feather, alpha)
            continue
        for number, segment in group:
            if reference is None and segment.cropped_image is None:
                continue
            _check_count(segment, number, len(frames), reference)
            placed = segment_for(segment, header, frames, number)
            source = placed if reference is None else _without_stills(placed)
            read = crop_reader(frames if reference is None else reference, source)
            if output == size:
                _paste(out.numpy(), placed, read, feather, alpha)
            else:
                _paste_enlarged(out.numpy(), frames.numpy(), placed, read, feather, alpha)
    return out


def _paste(out: NDArray[Any], segment: Segment, read: ReadCrops, feather: int, alpha: float) -> None:
    """Blend one segment's crops into ``out``, frame by frame and in place."""
    x1, y1, x2, y2 = (int(side) for side in segment.placed.window.as_tuple())
    whole = Box(0, 0, segment.size.width, segment.size.height)
    for index, mask in enumerate(_soft_masks(segment, len(out), feather, alpha)):
        under = out[index, y1:y2, x1:x2, :3]
        crop: Pixels = read(index, index + 1, segment.size)[0]
        under[...] = blend.paste(under, crop, mask, whole)


def _paste_enlarged(
    out: NDArray[Any], frames: NDArray[Any], segment: Segment, read: ReadCrops, feather: int, alpha: float
) -> None:
    """Blend one segment's crops into larger frames ``out``: the enlarged frame with what the crop changes of it."""
    output, window = Size(out.shape[2], out.shape[1]), segment.placed.window
    scale = ratios(Size(frames.shape[2], frames.shape[1]), output)
    onto, stills = window.scaled(*scale), _size_of_stills(segment)
    for index, soft in enumerate(_soft_masks(segment, len(out), feather, alpha)):
        mask, box = place_mask(soft, onto, output)
        frame, crop = frames[index, ..., :3], read(index, index + 1, stills)[0]
        change, _ = placed_change(frame, crop, window, onto, output)
        x1, y1, x2, y2 = (int(side) for side in box.as_tuple())
        within = Box(0, 0, x2 - x1, y2 - y1)
        enlarged = resample.crop(frame, box.scaled(1 / scale[0], 1 / scale[1]), Size(x2 - x1, y2 - y1))
        under = out[index, y1:y2, x1:x2, :3]
        under[...] = blend.paste(under, enlarged + change, mask, within)


def _soft_masks(segment: Segment, frames: int, feather: int, alpha: float) -> Iterator[NDArray[np.float32]]:
    """The mask (h, w) 0..1 of every frame; one that is shared is softened once."""
    masks, strength = segment.placed.masks, np.float32(alpha / 255)
    soft = (feathered(mask, feather) * strength for mask in masks)
    yield from soft if len(masks) > 1 else repeat(next(soft), frames)


def _size_of_stills(segment: Segment) -> Size:
    """Of the part of a segment's own pictures that lies in the frame; its crop's where it has none."""
    if segment.stills is None:
        return segment.size
    height, width = segment.stills.shape[1:3]
    whole, window = segment.placed.whole, segment.placed.window
    across, down = width / whole.width, height / whole.height
    return Size(max(1, round(window.width * across)), max(1, round(window.height * down)))


def _paste_tracked(
    out: NDArray[Any], before: NDArray[Any], segments: Sequence[TrackedSeg], feather: int, alpha: float
) -> None:
    """Paste what was changed of the frames ``before`` under moving windows into ``out``, frame by frame and in place:
    changes add up."""
    changed = [(fitted.region, fitted.crops) for fitted in (one.fitted(before, "the image") for one in segments)]
    output = Size(out.shape[2], out.shape[1])
    for index in range(len(out)):
        frame, source = out[index, ..., :3], before[index, ..., :3]
        layers = [
            crop_layer(source, region, index - region.start, crops[index - region.start], feather, output)
            for region, crops in changed
            if crops is not None and region.start <= index < region.stop
        ]
        for layer in blend.composited(layers):
            x1, y1, x2, y2 = (int(side) for side in layer.box.as_tuple())
            under = frame[y1:y2, x1:x2]
            pasted = blend.paste_change(under, layer.change, layer.mask, Box(0, 0, x2 - x1, y2 - y1))
            under[...] = pasted if alpha == 255 else under + np.float32(alpha / 255) * (pasted - under)


def _check_count(segment: Any, number: int, frames: int, reference: Tensor | None) -> None:
    """Fewer pictures than frames is a mistake that must not pass as a shorter clip."""
    pictures, what = (segment.cropped_image, "cropped images") if reference is None else (reference, "reference images")
    count = len(pictures) if np.ndim(pictures) == 4 or isinstance(pictures, Tensor) else 1
    if count < frames:
        raise RegionError(
            f"Segment {number} ({segment.label!r}) has too few {what} ({count} for {frames} frames); it needs one for "
            "each frame."
        )


def _without_stills(segment: Segment) -> Segment:
    return Segment(segment.name, segment.source, segment.placed, None)
