"""A preview as files: a contact sheet, and a loop of its first moment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.errors import OutputError
from redetail.evaluate.sheet import PAPER, Picture, contact_sheet, magnified, png, side_by_side, zoomed
from redetail.files import made_folder, writing_together
from redetail.pipeline.preview import LOOP_TILE, Preview, Still
from redetail.region import Box, Size
from redetail.video import Frame, VideoInfo, open_sink
from redetail.video.target import check_target
from redetail.video.timing import timecode

SOURCE = "source"
TILES = 320, 640
"""Smallest and largest side of a picture in the sheet, in pixels; large subjects get larger pictures."""
WIDEST = 4096
"""Width of a sheet in pixels from which its pictures are as small as possible."""
FOLDER = ".preview"
"""Suffix of the folder in which a preview is written by default."""
_ACROSS = 4
"""Number of pictures side by side in a loop."""


def preview_sheet(preview: Preview, *, nearest: bool = False) -> Picture:
    """A sheet with a row for each moment, and a column for the source and for each variant.

    Pictures are enlarged with a Lanczos filter, or with ``nearest`` by repeating pixels. Raises
    :class:`~redetail.errors.InputError` if there are no moments.
    """
    side = _tile(preview)
    rows = [[_tiled(one, side, nearest) for one in (still.source, *still.results)] for still in preview.stills]
    heads = [SOURCE, *(variant.label for variant in preview.variants)]
    return contact_sheet(rows, heads, [_caption(still, preview) for still in preview.stills])


def _tile(preview: Preview) -> int:
    """The side of a picture; large enough to show every pixel, if that fits."""
    least, most = TILES
    columns = 1 + len(preview.variants)
    shown = max((max(still.source.shape[:2]) for still in preview.stills), default=least)
    return min(max(least, shown), max(least, min(most, WIDEST // columns)))


def _tiled(picture: NDArray[Any], side: int, nearest: bool) -> Picture:
    """A picture scaled into a square with this side, so that columns line up."""
    height, width = picture.shape[:2]
    times = side / max(height, width)
    if nearest and times >= 2:
        tile = magnified(picture, int(times))
    else:
        size = Size(max(1, round(width * times)), max(1, round(height * times)))
        tile = zoomed(picture, Box(0, 0, width, height), size)
    down, across = side - tile.shape[0], side - tile.shape[1]
    return np.pad(tile, ((0, down), (0, across), (0, 0)), constant_values=PAPER)


def _caption(still: Still, preview: Preview) -> str:
    at = f"{timecode(still.moment.frame, preview.rate)} (frame {still.moment.frame})"
    return " · ".join(filter(None, (still.label, still.moment.why, at, f"{still.side:.0f} pixels")))


def write_loop(preview: Preview, path: Path) -> None:
    """Write the loop as an animated WebP or a video; raises :class:`~redetail.errors.OutputError`."""
    height, width = _grid(preview, 0).shape[:2]
    rate, count = preview.rate, preview.loop.shape[1]
    info = VideoInfo(size=Size(width, height), rate=rate, time_base=1 / rate, frames=count, bit_depth=8)
    with open_sink(path, info) as sink:
        for index in range(count):
            sink.write(Frame(index, index, _grid(preview, index), 1))


def _grid(preview: Preview, index: int) -> Picture:
    """The source and all variants in one frame of the loop, each with its label."""
    pictures = preview.loop[:, index]
    labels = [SOURCE, *(variant.label for variant in preview.variants)]
    rows = [slice(first, first + _ACROSS) for first in range(0, len(labels), _ACROSS)]
    return contact_sheet([[side_by_side(list(pictures[row]), labels[row])] for row in rows])


def preview_files(output: Path, loop: Path | None = None) -> tuple[Path, Path]:
    """The files of the sheet and the loop: in a folder, or a PNG and a file next to it.

    Raises :class:`~redetail.errors.OutputError` if ``output`` is neither a folder nor a PNG.
    """
    suffix = output.suffix.lower()
    if suffix == ".png":
        sheet, usual = output, output.with_suffix(".webp")
    elif os.path.isdir(output) or not suffix or suffix == FOLDER:
        sheet, usual = output / "sheet.png", output / "loop.webp"
    else:
        raise OutputError(f"The preview cannot be written to {output}; give a folder, or a name that ends in .png.")
    return sheet, loop or usual


def check_preview(sheet: Path, loop: Path, source: VideoInfo) -> None:
    """Raise :class:`~redetail.errors.OutputError` if one of the files cannot be written."""
    if not os.path.exists(sheet.parent):
        check_target(sheet.parent, source.path, folder=True)
    else:
        check_target(sheet, source.path)
    if loop.parent != sheet.parent or os.path.exists(sheet.parent):
        open_sink(loop, replace(source, size=Size(LOOP_TILE, LOOP_TILE), bit_depth=8))


def write_preview(preview: Preview, sheet: Path, loop: Path, *, nearest: bool = False) -> None:
    """Write both files, and make the folder for the sheet; write nothing if there are no moments.

    Raises :class:`~redetail.errors.OutputError` if a file cannot be written.
    """
    if not preview.stills:
        return
    picture = png(preview_sheet(preview, nearest=nearest))
    with made_folder(sheet.parent), writing_together({sheet: picture}):
        write_loop(preview, loop)
