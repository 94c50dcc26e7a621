"""Pass 3: write. Streams the source to the sink and pastes the enhanced crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from redetail.engines.base import Pixels
from redetail.errors import RegionError
from redetail.geometry.scale import ratios
from redetail.imaging import blend, masks, resample
from redetail.imaging.blend import Layer
from redetail.imaging.parallel import in_order, picture_threads
from redetail.pipeline.blas import ONE_THREAD
from redetail.region import Box, Region, Size
from redetail.video.base import RGB, Frame


class Crops(Protocol):
    """Crops of one region by frame: an array (F, h, w, 3), or a store on disk."""

    def __getitem__(self, index: int, /) -> Pixels:
        """(h, w, 3) float32 0..1."""
        ...


@dataclass(frozen=True)
class Patch:
    """What one region (None: the background) did to one frame: ``mask`` (h, w) 0..1 covers the whole pixels of ``box``;
    where it is 0, nothing changed."""

    region: int | None
    mask: NDArray[np.float32]
    box: Box


@dataclass(frozen=True)
class PastedFrame:
    """A frame before and after, at the output's size, and the patches between the two."""

    source: Frame
    result: Frame
    patches: tuple[Patch, ...]


def pasted_frames(
    frames: Iterable[Frame],
    regions: Sequence[Region],
    crops: Sequence[Crops],
    feather: int | Sequence[int],
    size: Size | None = None,
    background: Callable[[Frame], Pixels] | None = None,
) -> Iterator[PastedFrame]:
    """Yield every frame with its regions pasted; ``crops`` are those of each region, at any size.

    ``feather``, in source pixels, is one value for all regions or one for each. Frames are first enlarged to ``size``
    (None: not enlarged). Where masks overlap, changes add up; see :func:`redetail.imaging.blend.composited`.
    ``background``: gives the change (H, W, 3) to a frame of that size outside all masks.
    """
    feathers = [feather] * len(regions) if isinstance(feather, int) else feather

    def pasted(frame: Frame) -> PastedFrame:
        layers, patches = [], []
        for number, (region, enhanced, soft) in enumerate(zip(regions, crops, feathers, strict=True)):
            index = frame.index - region.start
            if 0 <= index < len(region):
                margin = masks.feather_reach(soft, region.size)
                layer = crop_layer(frame.pixels, region, index, enhanced[index], soft, size, margin)
                layers.append(layer)
                patches.append(Patch(number, layer.mask, layer.box))
        before = frame if size is None else enlarged(frame, size)
        under = before.pixels
        if background is not None:
            output = Size(under.shape[1], under.shape[0])
            outside, whole = _outside(layers, output), Box(0, 0, output.width, output.height)
            under = blend.paste_change(under, background(frame), outside, whole)
            patches.append(Patch(None, outside, whole))
        return PastedFrame(before, replace(before, pixels=paste_layers(under, layers)), tuple(patches))

    with ONE_THREAD.held():
        yield from in_order(pasted, frames, picture_threads() if regions or background else 1)


def _outside(layers: Sequence[Layer], size: Size) -> NDArray[np.float32]:
    """The share (h, w) 0..1 of a picture that the layers' masks leave uncovered."""
    left = np.ones(size.shape, np.float32)
    for layer in layers:
        left[int(layer.box.y1) : int(layer.box.y2), int(layer.box.x1) : int(layer.box.x2)] -= layer.mask
    return np.maximum(left, 0, out=left)


def enlarged(frame: Frame, size: Size) -> Frame:
    """The frame at another size, with a Lanczos filter and its own bit depth; the frame itself if it has that size."""
    height, width = frame.pixels.shape[:2]
    if (height, width) == size.shape:
        return frame
    pixels = resample.crop(frame.pixels, Box(0, 0, width, height), size)
    if frame.pixels.dtype == np.uint8:
        return replace(frame, pixels=resample.from_float(pixels, np.uint8), native=None)
    return replace(frame, pixels=resample.from_float(pixels, np.uint16), native=None)


def paste_layers(frame: RGB, layers: Sequence[Layer]) -> RGB:
    """A new frame with the changes of all layers, which can be in any order; the frame itself if there are none."""
    for layer in blend.composited(layers):
        frame = blend.paste_change(frame, layer.change, layer.mask, layer.box)
    return frame


def paste_crop(
    frame: RGB, region: Region, index: int, crop: Pixels, feather: int
) -> tuple[RGB, NDArray[np.float32], Box]:
    """A new frame with one crop (h, w, 3) pasted, the mask that was used, and the box of pixels that the mask
    covers."""
    layer = crop_layer(frame, region, index, crop, feather, margin=masks.feather_reach(feather, region.size))
    return paste_layers(frame, [layer]), layer.mask, layer.box


def crop_layer(
    frame: NDArray[Any],
    region: Region,
    index: int,
    crop: Pixels,
    feather: int,
    output: Size | None = None,
    margin: float = 0.0,
) -> Layer:
    """What a crop (h, w, 3) changes in its frame, and under which mask, for an output of this size (None: the frame's).

    Only the change is pasted: the crop minus what the frame shows at the crop's size. Where nothing changed, the frame
    keeps its bits, and the frame's own pixels are not blurred by scaling up and down. The mask is also soft towards the
    window's border, if that lies inside the frame, so that a subject that fills its window shows no edge. ``margin``:
    see :meth:`redetail.region.Region.mask`; if it equals the reach of the feather, the whole box counts in full,
    however small it is, and its soft edge lies outside.
    """
    height, width = frame.shape[:2]
    size, window = Size(width, height), region.window(index)
    soft = masks.feather(region.mask(index, margin), feather) * np.float32(region.strength(index))
    output = size if output is None else output
    onto = window.scaled(*ratios(size, output))
    mask, box = masks.place_mask(masks.fade_to_border(soft, window, size, feather), onto, output)
    change, _ = placed_change(frame, crop, window, onto, output)
    return Layer(change, mask, box)


def placed_change(frame: NDArray[Any], crop: Pixels, window: Box, onto: Box, size: Size) -> tuple[Pixels, Box]:
    """What a crop (h, w, 3) of ``window`` changes in its frame, placed at ``onto`` in a picture of ``size``.

    Returns changes (h', w', 3), positive or negative, and the box of whole pixels that they fill.
    """
    before = resample.crop(frame, window, Size(crop.shape[1], crop.shape[0]))
    return resample.place(crop - before, onto, size)


def check_counts(regions: Sequence[Region], crops: Sequence[Pixels]) -> None:
    """Raise :class:`~redetail.errors.RegionError` unless every region has one crop (h, w, 3) for each frame."""
    if len(regions) != len(crops):
        raise RegionError(
            f"There are {len(regions)} regions but {len(crops)} arrays of crops; give one array for each region."
        )
    for region, taken in zip(regions, crops, strict=True):
        if taken.ndim != 4 or taken.shape[-1] != 3 or len(taken) != len(region):
            raise RegionError(
                f"Region {region.label!r} has {len(region)} frames, but its crops have the shape {taken.shape}; "
                "give (frames, height, width, 3)."
            )
