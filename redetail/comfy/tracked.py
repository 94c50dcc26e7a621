"""``TrackedSeg``: a subject with a moving window that every pack can read as an ordinary SEG.

Our own nodes read its region and crops. For anybody else it is a named tuple whose crop is the union of all windows;
what that takes (masks and pictures of the union, for every frame) is computed when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from redetail.errors import RegionError
from redetail.imaging.masks import resize_mask
from redetail.pipeline.crop_store import HeldCrops
from redetail.pipeline.paste import placed_change
from redetail.region import Box, Region, Size
from redetail.segs import Seg
from redetail.tracking.segments import bounds, seg_from_region, union_window

Pixels = NDArray[np.float32]
_FREE = {"confidence", "label", "control_net_wrapper"}  # fields that say nothing about where the subject is


class TrackedSeg(Seg):
    """One subject of a clip of ``clip_frames`` frames of size ``frame``, and, once detailed, its crops.

    ``frames`` (F, H, W, C) float32 are those that the crops were made from; ``crops`` holds one (h, w, 3) for each
    frame of the region, at any size. As a SEG: ``crop_region`` is the union of the windows; ``cropped_mask`` (h, w) or
    (clip_frames, h, w) lies in it, weaker where the subject fades in or out and zero where it is not there;
    ``cropped_image`` is None or, after detailing, (clip_frames, h, w, 3): the frames with the changed windows.
    """

    region: Region
    frame: Size
    clip_frames: int
    frames: NDArray[np.float32] | None
    crops: HeldCrops | None

    def __new__(
        cls,
        region: Region,
        frame: Size,
        clip_frames: int,
        *,
        frames: NDArray[np.float32] | None = None,
        crops: HeldCrops | None = None,
        **named: Any,
    ) -> TrackedSeg:
        """``named`` are the fields that may differ from the region's: confidence, label, control_net_wrapper."""
        fields = {"confidence": region.confidence, "label": region.label, "control_net_wrapper": None, **named}
        x1, y1, x2, y2 = (int(side) for side in union_window(region, frame).as_tuple())
        self = super().__new__(cls, None, None, crop_region=(x1, y1, x2, y2), bbox=bounds(region.boxes), **fields)
        self.region, self.frame, self.clip_frames = region, frame, clip_frames
        self.frames, self.crops = frames, crops
        return self

    @property
    def cropped_image(self) -> Pixels | None:
        """(clip_frames, h, w, 3) float32 0..1, or None before the subject is detailed."""
        if self.crops is None:
            return None
        if "_image" not in self.__dict__:
            x1, y1, x2, y2 = self.crop_region
            self._image = np.empty((self.clip_frames, y2 - y1, x2 - x1, 3), np.float32)
            for index in range(self.clip_frames):
                self._image[index] = self.picture(index)
        return self._image

    @property
    def cropped_mask(self) -> Pixels:
        """(h, w) or (clip_frames, h, w) float32 0..1."""
        if "_mask" not in self.__dict__:
            region = self.region
            mask: Pixels = seg_from_region(region, self.frame, 0, self.clip_frames).cropped_mask
            for index in range(len(region)) if mask.ndim == 3 else ():
                mask[region.start + index] *= np.float32(region.strength(index))
            self._mask = mask
        return self._mask

    def picture(self, index: int) -> Pixels:
        """The union crop (h, w, 3) of frame ``index`` of the clip, with the detailed window in it."""
        if self.frames is None:
            raise RuntimeError("a segment with crops must also have the frames that they were made from")
        x1, y1, x2, y2 = self.crop_region
        shown = self.frames[index, y1:y2, x1:x2, :3].astype(np.float32)
        inside = index - self.region.start
        if self.crops is None or not 0 <= inside < len(self.region):
            return shown
        window = self.region.window(inside)
        moved = Box(window.x1 - x1, window.y1 - y1, window.x2 - x1, window.y2 - y1)
        frame = self.frames[index, ..., :3]
        change, at = placed_change(frame, self.crops[inside], window, moved, Size(x2 - x1, y2 - y1))
        under = shown[int(at.y1) : int(at.y2), int(at.x1) : int(at.x2)]
        np.clip(under + change, 0, 1, out=under)
        return shown

    def with_crops(self, frames: NDArray[np.float32], crops: HeldCrops) -> TrackedSeg:
        """The detailed segment; its ControlNet has done its work and is left out."""
        return TrackedSeg(
            self.region,
            self.frame,
            self.clip_frames,
            frames=frames,
            crops=crops,
            confidence=self.confidence,
            label=self.label,
        )

    def with_region(self, region: Region) -> TrackedSeg:
        """The same subject with another region, for instance with other masks; its crops stay those of the windows."""
        named = {"confidence": self.confidence, "label": self.label, "control_net_wrapper": self.control_net_wrapper}
        return TrackedSeg(region, self.frame, self.clip_frames, frames=self.frames, crops=self.crops, **named)

    def fitted(self, frames: NDArray[np.float32], name: str) -> TrackedSeg:
        """The same subject in these frames (F, H, W, C), which may be of another size but not of another number.

        ``name`` is that of the node's input. Raises :class:`~redetail.errors.RegionError` for another number.
        """
        if len(frames) != self.clip_frames:
            raise RegionError(
                f"Segment {self.label!r} was tracked in {self.clip_frames} frames, but {name} has {len(frames)}; "
                "connect the frames of the same clip."
            )
        size = Size(frames.shape[2], frames.shape[1])
        if size == self.frame:
            return self
        state = {"confidence": self.confidence, "label": self.label, "control_net_wrapper": self.control_net_wrapper}
        return TrackedSeg(
            scaled_region(self.region, self.frame, size),
            size,
            self.clip_frames,
            frames=None if self.crops is None else frames,
            crops=self.crops,
            **state,
        )

    # A tuple must give the same by index as by name, to every caller.

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in self._fields)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Any: ...

    @overload
    def __getitem__(self, index: slice, /) -> tuple[Any, ...]: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Any:
        if isinstance(index, slice):
            return tuple(getattr(self, name) for name in self._fields[index])
        return getattr(self, self._fields[index])

    def __add__(self, other: tuple[Any, ...], /) -> tuple[Any, ...]:
        return (*self, *other)

    def __contains__(self, value: object, /) -> bool:
        return any(value is own for own in self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        what = "tracked" if self.crops is None else "detailed"
        return (
            f"TrackedSeg({self.label!r}, {what} in {len(self.region)} of {self.clip_frames} frames, {self.region.size})"
        )

    def _replace(self, **changes: Any) -> Seg:  # type: ignore[override]  # a tracked segment cannot always stay one
        """Still tracked where only a name, confidence or ControlNet changed; else an ordinary SEG."""
        if not set(changes) <= _FREE:
            return Seg(*self)._replace(**changes)
        kept = {name: changes.get(name, getattr(self, name)) for name in _FREE}
        return TrackedSeg(self.region, self.frame, self.clip_frames, frames=self.frames, crops=self.crops, **kept)

    @classmethod
    def _make(cls, iterable: Iterable[Any]) -> Seg:  # type: ignore[override]
        """Seven values make an ordinary SEG."""
        return Seg(*iterable)

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        state = (self.region, self.frame, self.clip_frames, self.frames, self.crops)
        return _rebuilt, (*state, {name: getattr(self, name) for name in sorted(_FREE)})

    def __getnewargs__(self) -> NoReturn:  # the named tuple's own would copy pictures instead of what makes them
        raise TypeError("a tracked segment can be copied only through __reduce_ex__")


def _rebuilt(
    region: Region, frame: Size, clip_frames: int, frames: Any, crops: Any, named: dict[str, Any]
) -> TrackedSeg:
    return TrackedSeg(region, frame, clip_frames, frames=frames, crops=crops, **named)


def scaled_region(region: Region, header: Size, frame: Size) -> Region:
    """A region of frames of size ``header`` in frames of size ``frame``; each axis has its own ratio."""
    ratio = np.array([frame.width / header.width, frame.height / header.height])
    exact = np.array([region.size.width, region.size.height]) * ratio
    ends = np.array([frame.width, frame.height])
    sides = np.clip(np.rint(exact), 1, ends)
    path = np.clip(region.path * ratio + (exact - sides) / 2, 0, ends - sides)
    size = Size(int(sides[0]), int(sides[1]))
    masks = None if region.masks is None else _ScaledMasks(region.masks, size)
    return replace(region, size=size, path=path, boxes=region.boxes * np.tile(ratio, 2), masks=masks)


class _ScaledMasks(Sequence[NDArray[np.uint8]]):
    """Masks at another size, computed when asked for."""

    def __init__(self, masks: Sequence[NDArray[np.uint8]], size: Size) -> None:
        self._masks, self._size = masks, size

    def __len__(self) -> int:
        return len(self._masks)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.uint8]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return _ScaledMasks(self._masks[index], self._size)
        return np.rint(resize_mask(self._masks[index].astype(np.float32), self._size)).astype(np.uint8)
