"""Main memory: how much a run takes, how short its stretches must be to fit, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from redetail.engines.base import Cost
from redetail.errors import SettingsError
from redetail.geometry.crop import working_crop
from redetail.machine import available_memory, resident_memory
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.stretches import OVERLAP, Budgets
from redetail.pipeline.workspace import readable
from redetail.region import Size

READING = 90
"""Bytes per pixel of a frame while crops are made and enhanced: the decoder's pictures, and one frame as an array."""
WRITING = 320
"""Bytes per pixel while frames are pasted, measured and encoded: encoders look about 40 frames ahead, and about six
frames are between two of these steps."""
BACKGROUND = 90
"""Additional bytes per pixel if the engine enlarges the background: the changes to the frames between two steps."""
RESERVE = 0.2
"""Share of the free memory that is left to other programs if no limit is given."""
_KEPT, _KEPT_SHARE = 2**27, 16
_LEAST = 2 * OVERLAP
_SIZES = range(64, 8193, 8)


def kept_pictures(limit: int | None) -> int:
    """Bytes of decoded pictures that a run may keep, so that a short clip is decoded only once: at most 128 MiB, and at
    most a sixteenth of ``limit`` (None: of the free memory)."""
    return min(_KEPT, (available_memory() if limit is None else limit) // _KEPT_SHARE)


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """The memory that a run may take: ``limit`` bytes in all, of which ``used`` are taken before it starts, mostly by
    the engine.

    ``frame``: the larger of the sizes of source and output; ``cost``: what requests take, as the engine states it;
    ``writing``: bytes per pixel of a frame while the output is written.
    """

    limit: int
    used: int
    frame: Size
    cost: Cost
    writing: int = WRITING

    @classmethod
    def of(cls, limit: int | None, frame: Size, cost: Cost, *, background: bool = False) -> MemoryBudget:
        """The budget with what this process takes now; if ``limit`` is None, all free memory except for the reserve."""
        used = resident_memory()
        usual = used + math.floor(available_memory() * (1 - RESERVE))
        writing = WRITING + BACKGROUND * background
        return cls(usual if limit is None else limit, used, frame, cost, writing)

    def check_frames(self) -> None:
        """Raise :class:`~redetail.errors.SettingsError` if there is not even enough memory to read and write frames."""
        needed = self.used + self.writing * _pixels(self.frame)
        if needed > self.limit:
            raise SettingsError(
                f"Reading and writing {self.frame}-pixel frames takes about {readable(needed)} of memory, but the "
                f"limit is {readable(self.limit)}; free some memory, or raise the limit with --memory {_typed(needed)}."
            )

    def fitted(self, crops: Sequence[CropPlan], budgets: Budgets, size_multiple: int) -> Budgets:
        """The engine's budgets, with stretches that are short enough for this memory.

        Raises :class:`~redetail.errors.SettingsError` if even the shortest stretch of a crop does not fit; the message
        says what would fit.
        """
        pixels = budgets.stretch_pixels
        for crop in crops:
            frames, padded = len(crop.region), _padded(crop)
            if self._request(padded, min(frames, _LEAST), _window(crop, budgets)) > self._for_requests:
                raise self._refused(crop, budgets, size_multiple)
            longest = self._longest(padded, frames, _window(crop, budgets))
            if longest < frames:
                pixels = min(pixels, longest * padded)
        return replace(budgets, stretch_pixels=pixels)

    def estimate(self, crops: Sequence[CropPlan], budgets: Budgets) -> int:
        """The most bytes that the run takes, including the loaded models."""
        requests = [
            self._request(_padded(crop), max(map(len, crop.stretches)), _window(crop, budgets)) for crop in crops
        ]
        pixels = _pixels(self.frame)
        return self.used + max(self.writing * pixels, READING * pixels + max(requests, default=0))

    @property
    def _for_requests(self) -> int:
        return self.limit - self.used - READING * _pixels(self.frame)

    def _request(self, pixels: int, frames: int, window: int) -> int:
        """Bytes for a stretch of ``frames`` crops of this many pixels, sampled in windows of ``window`` frames."""
        each = self.cost.stretch_bytes * frames + self.cost.window_bytes * min(frames, window)
        return pixels * each + self.cost.request_bytes

    def _longest(self, pixels: int, frames: int, window: int) -> int:
        """The most frames that a stretch can have to fit."""
        fitting = [count for count in (frames, window) if self._request(pixels, count, window) <= self._for_requests]
        if fitting[:1] == [frames] or not self.cost.stretch_bytes:
            return frames
        each = pixels * (self.cost.stretch_bytes if fitting else self.cost.stretch_bytes + self.cost.window_bytes)
        beside = pixels * self.cost.window_bytes * window if fitting else 0
        return (self._for_requests - self.cost.request_bytes - beside) // each

    def _refused(self, crop: CropPlan, budgets: Budgets, size_multiple: int) -> SettingsError:
        needed = self._least(crop, budgets)
        fits = next((side for side in reversed(_SIZES) if self._fits(crop, side, budgets, size_multiple)), None)
        smaller = "" if fits is None else f"--max-size {fits} or "
        return SettingsError(
            f"Detailing {crop.region.label} at {crop.working} takes about {readable(needed)} of memory, but "
            f"the limit is {readable(self.limit)}; set {smaller}--memory {_typed(needed)}."
        )

    def _fits(self, crop: CropPlan, side: int, budgets: Budgets, size_multiple: int) -> bool:
        """Whether the crop would fit with this max-size."""
        if side > max(crop.working.width, crop.working.height):
            return False
        sides = (crop.region.boxes[:, 2:] - crop.region.boxes[:, :2]).max(axis=0)
        settings, box = replace(crop.settings, max_size=float(side)), (float(sides[0]), float(sides[1]))
        working, padding = working_crop(crop.region.size, box, settings, size_multiple, shrink=True)
        return self._least(replace(crop, working=working, padding=padding), budgets) <= self.limit

    def _least(self, crop: CropPlan, budgets: Budgets) -> int:
        """Bytes of the whole run with the shortest stretches."""
        request = self._request(_padded(crop), min(len(crop.region), _LEAST), _window(crop, budgets))
        return self.used + READING * _pixels(self.frame) + request


def _window(crop: CropPlan, budgets: Budgets) -> int:
    """Frames that the engine samples together."""
    return crop.settings.context_length or budgets.context_length or len(crop.region)


def _padded(crop: CropPlan) -> int:
    return _pixels(crop.padding.padded(crop.working))


def _pixels(size: Size) -> int:
    return size.width * size.height


def _typed(needed: int) -> str:
    """A number of bytes as it is typed, rounded up."""
    return f"{math.ceil(needed / 1e8) / 10:g}GB"
