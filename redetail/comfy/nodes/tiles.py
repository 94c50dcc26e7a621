"""A whole picture as segments."""

from __future__ import annotations

from typing import Any

from redetail.comfy.convert import frame_size, image_frames, segs_from
from redetail.comfy.mask_segs import combined_mask
from redetail.comfy.schema import Inputs, Node, choice, number, socket
from redetail.comfy.tiles import MODES, Tiling, picture_mask, tile_segs
from redetail.errors import UnknownNameError
from redetail.imaging.masks import Mask
from redetail.region import Size
from redetail.segs import Segs


class ImpactMakeTileSEGS(Node):
    """Segments that cover a picture."""

    ID = "ImpactMakeTileSEGS"
    NAME = "Make Tile SEGS"
    CATEGORY = "ImpactPack/__for_testing"
    DESCRIPTION = (
        "Covers a picture or a clip with overlapping tiles, so that you can detail all of the picture or clip piece by "
        "piece; each tile is a segment. To tile only part of the picture, connect segments whose masks mark the area "
        "to tile or the area to leave out."
    )
    SEARCH_ALIASES = ["tiled upscale", "split image", "tile segments"]
    RETURN_TYPES = ("SEGS",)
    OUTPUT_TOOLTIPS = ("One segment for each tile, row by row.",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "images": socket("IMAGE", "The picture or the clip; only its size matters."),
                "bbox_size": number(512, 64, 4096, "Side length of a tile, in pixels.", step=8, whole=True),
                "crop_factor": number(
                    3.0, 1.0, 10, "Side length of the crop, as a multiple of the side length of the tile.", step=0.01
                ),
                "min_overlap": number(
                    5,
                    0,
                    512,
                    "Minimum overlap of neighbouring tiles, in pixels; at most half a tile.",
                    step=1,
                    whole=True,
                ),
                "filter_segs_dilation": number(
                    20,
                    -255,
                    255,
                    "How much the masks of the filters below grow, in pixels; a negative value shrinks them.",
                    step=1,
                    whole=True,
                ),
                "mask_irregularity": number(
                    0, 0, 1.0, "How much the edges of the tiles are frayed, to hide straight seams.", step=0.01
                ),
                "irregular_mask_mode": choice(
                    MODES,
                    "Reuse: one frayed mask for all tiles. All random: a different mask for each tile. The mode "
                    '"Reuse fast" draws a smaller mask than the other modes do, so the edges of its mask are coarser.',
                ),
            },
            "optional": {
                "filter_in_segs_opt": socket(
                    "SEGS", "Limits the tiles to the area that the masks of these segments cover."
                ),
                "filter_out_segs_opt": socket(
                    "SEGS", "Keeps the tiles out of the area that the masks of these segments cover."
                ),
            },
        }

    @staticmethod
    def doit(
        images: Any,
        bbox_size: int,
        crop_factor: float,
        min_overlap: int,
        filter_segs_dilation: int,
        mask_irregularity: float = 0,
        irregular_mask_mode: str = MODES[0],
        filter_in_segs_opt: Any = None,
        filter_out_segs_opt: Any = None,
    ) -> tuple[Segs]:
        """The tiles of the picture."""
        if irregular_mask_mode not in MODES:
            raise UnknownNameError("irregular_mask_mode", irregular_mask_mode, MODES)
        size = frame_size(image_frames(images, "images"))
        tiling = Tiling(bbox_size, min_overlap, crop_factor, mask_irregularity, irregular_mask_mode)
        within = _mask(filter_in_segs_opt, "filter_in_segs_opt", size, filter_segs_dilation)
        without = _mask(filter_out_segs_opt, "filter_out_segs_opt", size, filter_segs_dilation)
        if filter_in_segs_opt is not None and within is None:
            return ((size.shape, []),)
        return ((size.shape, tile_segs(size, tiling, within, without)),)


def _mask(segs: Any, name: str, size: Size, dilation: int) -> Mask | None:
    """What segments mask in a picture in any frame, (H, W); None without segments."""
    if segs is None:
        return None
    header, segments = segs_from(segs, name)
    return picture_mask(combined_mask(header, segments), size, dilation) if segments else None


NODES: tuple[type[Node], ...] = (ImpactMakeTileSEGS,)
