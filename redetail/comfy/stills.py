"""The pictures that segments carry, and those that can be cut for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redetail.comfy.convert import as_array, frame_size, plain_seg
from redetail.comfy.mask_segs import placed_seg, seg_name
from redetail.errors import OutputError, RegionError
from redetail.imaging.masks import Mask, masks_for, normalise_mask, resize_mask
from redetail.imaging.resample import from_float
from redetail.region import Size
from redetail.segs import Seg

EMPTY_SIDE = 64
"""Side of the black square that stands where there is no picture."""

SavedImage = dict[str, str]
"""Where ComfyUI's front end finds a file: filename, subfolder, type."""


@dataclass(frozen=True, eq=False)
class Still:
    """Pictures of one segment (F, h, w, C), and its masks at their size, (1, h, w) or (F, h, w)."""

    images: Tensor
    masks: Mask

    @property
    def masked(self) -> Tensor:
        """The pictures times their masks."""
        return self.images * torch.from_numpy(self.masks)[..., None]


def seg_on(segment: Any, header: tuple[int, int], picture: Size, number: int) -> Seg:
    """A segment in the coordinates of a picture, without its own picture: as it is where its SEGS refer to that
    size and its crop lies inside, else scaled (each axis by its own ratio) and clipped with its mask.

    Raises :class:`~redetail.errors.RegionError` for a crop outside the picture.
    """
    size = Size(header[1], header[0]) if all(header) else picture
    placed = placed_seg(segment, size, number, picture)
    if size == picture and placed.whole == placed.window:
        return plain_seg(segment, cropped_image=None)
    x1, y1, x2, y2 = (int(side) for side in placed.window.as_tuple())
    masks = placed.masks[0] if len(placed.masks) == 1 else torch.from_numpy(placed.masks)
    box = segment.bbox if size == picture else tuple(int(side) for side in placed.box.as_tuple())
    return plain_seg(segment, cropped_image=None, cropped_mask=masks, crop_region=(x1, y1, x2, y2), bbox=box)


def cut_images(images: Tensor, region: Sequence[int]) -> Tensor:
    """The crop of every frame (F, h, w, C) float32, a copy."""
    x1, y1, x2, y2 = (int(side) for side in region)
    return images[:, y1:y2, x1:x2].to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def carried_images(segment: Any, number: int) -> Tensor | None:
    """The pictures that a segment carries, tensor or array, as (F, h, w, C) float on the CPU; None without one."""
    images = segment.cropped_image
    if images is None:
        return None
    tensor = torch.as_tensor(images).detach().cpu()
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.ndim != 4 or 0 in tensor.shape or tensor.shape[-1] not in (1, 3, 4):
        raise RegionError(
            f"{seg_name(segment, number)} carries cropped images of shape {tuple(tensor.shape)}; the shape must be "
            "(frames, height, width, 3)."
        )
    return tensor.float() if tensor.dtype != torch.uint8 else tensor.float() / 255


def still_of(segment: Any, header: tuple[int, int], number: int, fallback: Tensor | None) -> Still | None:
    """What a segment shows: its own pictures, else its crop of ``fallback`` (F, H, W, C); None with neither."""
    images = carried_images(segment, number)
    if images is None and fallback is None:
        return None
    if images is None and fallback is not None:
        segment = seg_on(segment, header, frame_size(fallback), number)
        images = cut_images(fallback, segment.crop_region).float()
    assert images is not None
    return Still(images, _masks_of(segment, number, images))


def black_square() -> Tensor:
    """What stands where there is no picture, (1, 64, 64, 3)."""
    return torch.zeros(1, EMPTY_SIDE, EMPTY_SIDE, 3)


def save_preview(images: Tensor, masks: Mask | None = None, min_alpha: float = 0.0) -> list[SavedImage]:
    """Write pictures (F, h, w, C) to ComfyUI's temporary folder as PNG, one file each, and say where they are.

    ``masks`` (1 or F, h, w) become the alpha channel, nowhere below ``min_alpha``. Raises OutputError if the folder
    cannot be written.
    """
    import folder_paths
    from PIL import Image

    folder = Path(folder_paths.get_temp_directory())
    batch = uuid4().hex[:12]
    saved = []
    for index, picture in enumerate(images):
        pixels = np.broadcast_to(picture[..., :3].numpy(), (*picture.shape[:2], 3))
        if masks is not None:
            alpha = np.maximum(masks[index if len(masks) > 1 else 0], np.float32(min_alpha))
            pixels = np.concatenate([pixels, alpha[..., None]], axis=-1)
        name = f"redetail_{batch}_{index:05}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_bytes(pixels)).save(folder / name, compress_level=1)
        except OSError as error:
            raise OutputError(f"A preview cannot be written to {folder}: {error.strerror or error}.") from error
        saved.append({"filename": name, "subfolder": "", "type": "temp"})
    return saved


def _masks_of(segment: Any, number: int, images: Tensor) -> Mask:
    """A segment's masks at the size of its pictures, one for all or one for each; a still shows their union."""
    shape = np.shape(segment.cropped_mask)
    frame = Size(images.shape[2], images.shape[1])
    if segment.cropped_mask is None:
        return np.ones((1, *frame.shape), np.float32)
    try:
        masks = normalise_mask(as_array(segment.cropped_mask), Size(shape[-1], shape[-2]) if len(shape) >= 2 else frame)
        masks = masks_for(masks, len(images), use_maximum=len(images) == 1)
    except RegionError as error:
        raise RegionError(f"{seg_name(segment, number)} cannot be shown: {error}") from error
    return masks if masks.shape[1:] == frame.shape else resize_mask(masks, frame)


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels 0..1 (h, w, 3 or 4) as a screen shows them."""
    return from_float(np.nan_to_num(np.asarray(pixels, np.float32)), np.uint8)
