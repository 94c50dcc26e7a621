"""Where ComfyUI's types enter and leave: images, masks, pipes, SEGS.

Inside, pixels are numpy arrays and coordinates are :class:`~redetail.region.Box`; outside they are what every pack
exchanges: IMAGE tensors (F, H, W, C) float 0..1, MASK tensors (F, H, W), SEGS tuples of named tuples. What comes from
another pack is read by attribute; what leaves is a plain named tuple, whatever happened here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.errors import InputError, RegionError
from redetail.imaging import resample
from redetail.imaging.masks import normalise_mask
from redetail.region import Box, Size
from redetail.segs import Seg, Segs
from redetail.tracking.segments import PlacedSeg, place_seg

Pixels = NDArray[np.float32]
ReadCrops = Callable[[int, int, Size], Pixels]
"""(first frame, frame after the last, size) -> (n, h, w, 3) float32 0..1: the crops of these frames at that size."""


class Pipe(NamedTuple):
    """A BASIC_PIPE."""

    model: Any
    clip: Any
    vae: Any
    positive: Any
    negative: Any


@dataclass(frozen=True, eq=False)
class Segment:
    """One SEG in the coordinates of the frames that it is detailed in. ``source`` is what came in, ``name`` says which
    of the list it is; ``stills`` are the crops that it carries itself (1 or F, h, w, C), or None."""

    name: str
    source: Any
    placed: PlacedSeg
    stills: Pixels | None

    @property
    def size(self) -> Size:
        """Of the crop, in pixels of the frame."""
        return Size(int(self.placed.window.width), int(self.placed.window.height))


def pipe_from(value: Any, name: str = "basic_pipe") -> Pipe:
    """The parts of a BASIC_PIPE; raises :class:`~redetail.errors.InputError` naming the input for anything else."""
    if not isinstance(value, tuple | list) or len(value) != len(Pipe._fields):
        raise InputError(
            f"{name} is not a BASIC_PIPE (model, clip, vae, positive, negative); connect a ToBasicPipe node."
        )
    pipe = Pipe(*value)
    for part in ("model", "vae", "positive", "negative"):
        if getattr(pipe, part) is None:
            raise InputError(f"The '{part}' part of {name} is missing; connect it to the node that makes the pipe.")
    return pipe


def image_frames(value: Any, name: str = "image_frames") -> Tensor:
    """An IMAGE as (F, H, W, C) on the CPU, C >= 3; raises :class:`~redetail.errors.InputError` for anything else."""
    if not isinstance(value, Tensor | np.ndarray):
        raise InputError(f"{name} must be an IMAGE, not {type(value).__name__}; connect a node that outputs images.")
    frames = torch.as_tensor(value)
    if frames.ndim != 4 or 0 in frames.shape or frames.shape[-1] < 3 or not frames.is_floating_point():
        raise InputError(
            f"{name} must be an IMAGE: at least one frame, as (frames, height, width, channels) of floating-point "
            f"values from 0 to 1; its shape is {tuple(frames.shape)} and its type {frames.dtype}."
        )
    return frames.detach().cpu()


def frame_size(frames: Tensor) -> Size:
    """Width and height of an IMAGE."""
    return Size(frames.shape[2], frames.shape[1])


def mask_frames(value: Any, name: str = "mask") -> NDArray[np.float32]:
    """A MASK of any shape that packs hand on, (H, W), (F, H, W) or (F, 1, H, W), as (F, H, W) float32 0..1."""
    array = np.asarray(as_array(value))
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise RegionError(f"{name} must be a MASK (frames, height, width); its shape is {array.shape}.")
    try:
        return normalise_mask(array, Size(array.shape[2], array.shape[1]))
    except RegionError as error:
        raise RegionError(f"{name} cannot be used: {error}") from error


def mask_tensor(masks: NDArray[Any]) -> Tensor:
    """Masks (H, W) or (F, H, W) as a MASK tensor (F, H, W) float32."""
    array = np.asarray(masks, np.float32)
    return torch.from_numpy(np.ascontiguousarray(array[None] if array.ndim == 2 else array))


def segs_from(value: Any, name: str = "segs") -> tuple[tuple[int, int], list[Any]]:
    """Header (height, width) and segments of anyone's SEGS; raises InputError naming the input for anything else."""
    try:
        header, segments = value
        height, width = (int(side) for side in header[:2])
        listed = list(segments)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be SEGS: a pair that consists of the size (height, width) and a list of segments."
        ) from error
    for number, segment in enumerate(listed):
        # To ask a segment of our own would make a tracked one compute its pictures.
        missing = [] if isinstance(segment, Seg) else [name for name in Seg._fields if not hasattr(segment, name)]
        if missing:
            raise InputError(f"{name} has an element that is not a SEG: element {number} has no {missing[0]}.")
    return (height, width), listed


def plain_seg(segment: Any, **changes: Any) -> Seg:
    """A SEG of our own with the fields of anyone's, some of them changed; a tracked one stays tracked if it can."""
    if isinstance(segment, Seg):
        return segment._replace(**changes)
    return Seg(*(changes.get(field, getattr(segment, field)) for field in Seg._fields))


def segment_for(
    segment: Any, header: tuple[int, int], frames: Tensor, number: int, *, use_maximum: bool = False
) -> Segment:
    """One segment of SEGS whose header is ``header`` ((0, 0): the frames' own size), placed in these frames.

    Raises :class:`~redetail.errors.RegionError` naming the segment if it cannot be used with them.
    """
    name = f"Segment {number} ({segment.label!r})"
    size = frame_size(frames)
    whole = Size(header[1], header[0]) if all(header) else size
    seg = plain_seg(segment, cropped_mask=as_array(segment.cropped_mask))
    placed = place_seg(seg, whole, size, len(frames), name=name, use_maximum=use_maximum)
    if not (placed.box.width > 0 and placed.box.height > 0):
        raise RegionError(
            f"{name} has a bbox of {placed.box.width:g}x{placed.box.height:g} pixels; width and height must be above 0."
        )
    return Segment(name, segment, placed, _stills(segment.cropped_image, len(frames), name))


def crop_reader(frames: Tensor, segment: Segment) -> ReadCrops:
    """Reads the crops of a segment a few at a time, at whatever size: its own where it carries some, else the frames'.

    The crop is cut first and scaled then: what lies around it does not shine in, as in the recorded node.
    """
    placed = segment.placed

    def read(start: int, stop: int, size: Size) -> Pixels:
        out = np.empty((stop - start, *size.shape, 3), np.float32)
        for index in range(start, stop):
            if segment.stills is None:
                picture, window = _cut(frames[index], placed.window), None
            else:
                picture, window = segment.stills[index if len(segment.stills) > 1 else 0], placed
            resample.crop(picture, _whole(picture, window), size, out[index - start])
        return out

    return read


def detailed_seg(segment: Segment, header: tuple[int, int], frame: Size, crops: Pixels) -> Seg:
    """The SEG that leaves a detailer: its crops, everything else as it came, no ControlNet.

    Where region and mask had to be scaled or clipped, they leave as they were used.
    """
    placed, source = segment.placed, segment.source
    fits = header in ((0, 0), frame.shape) and placed.whole == placed.window
    if fits:
        return plain_seg(source, cropped_image=crops, control_net_wrapper=None)
    corners = tuple(int(side) for side in placed.window.as_tuple())
    box = placed.box.as_tuple() if header not in ((0, 0), frame.shape) else source.bbox
    masks = placed.masks[0] if len(placed.masks) == 1 else placed.masks
    return plain_seg(
        source, cropped_image=crops, cropped_mask=masks, crop_region=corners, bbox=box, control_net_wrapper=None
    )


def detailed_segs(header: tuple[int, int], frames: Tensor, segments: Sequence[Seg]) -> Segs:
    """SEGS as they leave a detailer: they refer to the frames now, whatever size they came with."""
    return header if header == (0, 0) else frame_size(frames).shape, list(segments)


def as_array(value: Any) -> Any:
    """A tensor as an array; half precision, of tensors and arrays, as float32."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        return (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()
    return value.astype(np.float32) if getattr(value, "dtype", None) == np.float16 else value


def _stills(images: Any, frames: int, name: str) -> Pixels | None:
    """The crops that a segment carries: None, one for all frames, or one for each."""
    if images is None:
        return None
    array = np.asarray(as_array(images))
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] < 3 or len(array) not in (1, frames):
        raise RegionError(
            f"{name} carries cropped images of shape {array.shape} for {frames} frames; it needs one image "
            "(1, height, width, 3) or one for each frame."
        )
    return cast("Pixels", array[..., :3])


def _cut(frame: Tensor, window: Box) -> Pixels:
    """Whole pixels of one frame, (h, w, 3) float32."""
    x1, y1, x2, y2 = (int(side) for side in window.as_tuple())
    return frame[y1:y2, x1:x2, :3].float().numpy()


def _whole(picture: Pixels, placed: PlacedSeg | None) -> Box:
    """All of a picture, or the part of a segment's own still that lies inside the frame."""
    height, width = picture.shape[:2]
    if placed is None or placed.whole == placed.window:
        return Box(0, 0, width, height)
    kx, ky = width / placed.whole.width, height / placed.whole.height
    x, y, window = placed.whole.x1, placed.whole.y1, placed.window
    return Box((window.x1 - x) * kx, (window.y1 - y) * ky, (window.x2 - x) * kx, (window.y2 - y) * ky)
