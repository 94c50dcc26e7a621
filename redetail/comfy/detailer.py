"""Detailing segments of frames that are in memory: what the drop-in nodes do.

Nothing grows with the frames but the crops that come out: pictures pass through in runs, into arrays that were
allocated once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from redetail.comfy.conditions import cropped_conditions
from redetail.comfy.convert import Pipe, Pixels, Segment, crop_reader, detailed_seg, frame_size, segment_for
from redetail.comfy.engine import ComfyEngine
from redetail.comfy.previews import Place
from redetail.comfy.progress import ClipBar
from redetail.comfy.sampling import SchedulerFunction
from redetail.engines.arrays import run_checked
from redetail.engines.base import CropSource, Request
from redetail.geometry.crop import Padding, working_crop
from redetail.imaging import resample
from redetail.imaging.masks import noise_mask
from redetail.pipeline.blas import ONE_THREAD
from redetail.region import Box, Size
from redetail.segs import Seg
from redetail.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Detailer:
    """Pipes and settings that every segment is detailed with."""

    pipe: Pipe
    settings: Settings
    refiner: Pipe | None = None
    scheduler: SchedulerFunction | None = None

    def detail(
        self, frames: Tensor, header: tuple[int, int], segments: list[Any], bar: ClipBar | None = None
    ) -> tuple[list[Seg], list[Tensor]]:
        """Every segment re-diffused over all frames (F, H, W, C), each from the same seed; and the hint images.

        ``header`` is the (height, width) that the segments refer to. Raises :class:`~redetail.errors.RedetailError`.
        """
        bar = bar or ClipBar(len(segments))
        placed = [segment_for(segment, header, frames, number) for number, segment in enumerate(segments)]
        results, images = [], []
        for segment in placed:
            with ONE_THREAD.held():
                crops, shown = self._detailed(frames, segment, bar)
            results.append(detailed_seg(segment, header, frame_size(frames), crops))
            images.extend(shown)
            bar.next_segment()
        return results, images

    def _detailed(self, frames: Tensor, segment: Segment, bar: ClipBar) -> tuple[Pixels, list[Tensor]]:
        """The crops of one segment (F, h, w, 3) at its own size."""
        box, asked, masks = segment.placed.box, self.settings, segment.placed.masks
        multiple = ComfyEngine(self.pipe).capabilities.size_multiple
        working, padding = working_crop(segment.size, (box.width, box.height), asked, multiple, shrink=False)
        place = Place(frames[0].float().numpy(), segment.placed.window, masks[0], working, padding)
        engine = ComfyEngine(
            self._cropped(frames, segment),
            refiner=self.refiner,
            scheduler=self.scheduler,
            control=segment.source.control_net_wrapper,
            preview=partial(bar.previewed(self.pipe.model), place),
            skip_closed=False,
            handover="composited",
        )
        read = crop_reader(frames, segment)
        out = np.empty((len(frames), *segment.size.shape, 3), np.float32)

        def crops(start: int, stop: int) -> Pixels:
            return resample.pad(read(start, stop, working), padding)

        request = Request(
            crops=CropSource(crops, len(frames), padding.padded(working)),
            mask=lambda start, stop: resample.pad(noise_mask(masks[start:stop], working, asked.mask_feather), padding),
            write=_writer(out, padding),
            settings=asked,
            shared_mask=len(masks) == 1,
            progress=bar,
        )
        run_checked(engine, request)
        return out, engine.images

    def _cropped(self, frames: Tensor, segment: Segment) -> Pipe:
        """The pipe with its conditioning cut to the segment."""
        window, size = segment.placed.window, frame_size(frames)
        positive, negative = (
            cropped_conditions(told, window, size) for told in (self.pipe.positive, self.pipe.negative)
        )
        return self.pipe._replace(positive=positive, negative=negative)


def _writer(out: Pixels, padding: Padding) -> Callable[[int, Pixels], None]:
    """Takes decoded pictures, cuts the padding off, scales them to the crop's size and puts them in their place."""
    size = Size(out.shape[2], out.shape[1])

    def write(start: int, pictures: Pixels) -> None:
        for index, picture in enumerate(resample.unpad(pictures, padding), start):
            resample.crop(picture, Box(0, 0, picture.shape[1], picture.shape[0]), size, out[index])

    return write
