"""The naive algorithm for comparison: what a straightforward node or script does.

The whole clip is one float tensor; crops are cut, scaled and collected frame by frame into tensors that grow; the mask
is blurred again for every frame; the paste builds the output frame by frame into a tensor that grows. The engine is the
same and sees the same frames together, so only the code around it differs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from redetail.engines import enhance_arrays
from redetail.engines.base import Engine
from redetail.imaging import masks, resample
from redetail.pipeline.plan import CropPlan
from redetail.region import Size
from redetail.settings import Settings

Pixels = NDArray[np.float32]


@dataclass
class Naive:
    """One run; ``seconds`` of each pass."""

    engine: Engine
    settings: Settings
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, frames: Pixels, plans: list[CropPlan]) -> Pixels:
        """Detail frames (F, H, W, 3) float 0..1 and return them."""
        for plan in plans:
            started = time.perf_counter()
            crops, noise = self._crops(frames, plan)
            self._lap("crop", started)
            started = time.perf_counter()
            padded = enhance_arrays(
                self.engine, resample.pad(crops, plan.padding), resample.pad(noise, plan.padding), self.settings
            )
            enhanced = resample.unpad(padded, plan.padding)
            self._lap("detail", started)
            started = time.perf_counter()
            frames = self._pasted(frames, plan, enhanced)
            self._lap("paste", started)
        return frames

    def _crops(self, frames: Pixels, plan: CropPlan) -> tuple[Pixels, Pixels]:
        crops = np.empty((0, *plan.working.shape, 3), np.float32)
        noise = np.empty((0, *plan.working.shape), np.float32)
        for index in range(len(plan.region)):
            rows, columns = _whole_window(plan, index)
            piece = frames[plan.region.start + index][rows, columns]
            crops = np.concatenate([crops, _resized(piece, plan.working)[None]])
            mask = masks.feather(plan.region.mask(index), self.settings.mask_feather)
            noise = np.concatenate([noise, masks.resize_mask(mask, plan.working)[None]])
        return crops, noise

    def _pasted(self, frames: Pixels, plan: CropPlan, enhanced: Pixels) -> Pixels:
        result = np.empty((0, *frames.shape[1:]), np.float32)
        for number, frame in enumerate(frames):
            pasted = frame.copy()
            index = number - plan.region.start
            if 0 <= index < len(plan.region):
                rows, columns = _whole_window(plan, index)
                mask = masks.feather(plan.region.mask(index), self.settings.paste_feather)[..., None]
                crop = _resized(enhanced[index], plan.region.size)
                pasted[rows, columns] = (1 - mask) * pasted[rows, columns] + mask * crop
            result = np.concatenate([result, pasted[None]])
        return result

    def _lap(self, name: str, started: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def _whole_window(plan: CropPlan, index: int) -> tuple[slice, slice]:
    x, y = np.rint(plan.region.path[index]).astype(int)
    return slice(y, y + plan.region.size.height), slice(x, x + plan.region.size.width)


def _resized(picture: Pixels, size: Size) -> Pixels:
    """Through 8 bits and Pillow, as usual."""
    image = Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.resize((size.width, size.height), Image.Resampling.LANCZOS), np.float32) / 255
