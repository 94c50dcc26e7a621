"""Takes pictures for the report's page while frames are written; their number does not grow with the clip."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from redetail.evaluate.sheet import Picture, square_around, zoomed
from redetail.geometry.scale import ratios
from redetail.optional import require
from redetail.pipeline.measure import FrameMeasures, spread
from redetail.pipeline.paste import PastedFrame
from redetail.pipeline.plan import Plan
from redetail.region import Box, Size

MOST_REGIONS = 10
THUMBNAILS = 8
_AROUND = 1.6  # side of a picture as a multiple of the side of the subject's box
_THUMBNAIL, _MOMENT, _LARGE = 96, 224, 480  # pixels per side
_QUALITY = 88  # of JPEG

# How much a frame is worth a look, above 0; the worst frame of each kind is kept.
_WEIGHTS: Mapping[str, Callable[[FrameMeasures], float]] = {
    "flickers most": lambda one: (one.flicker_output or 0.0) / (1.5 * (one.flicker_source or 0.0) + 1.0),
    "changed most": lambda one: one.change or 0.0,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """One moment before and after, as the addresses of JPEG pictures of ``side`` pixels."""

    frame: int
    before: str
    after: str
    side: int


@dataclass
class Album:
    """The pictures of one subject: ``thumbnails`` over time, a ``large`` pair, and the ``worst`` moments by reason."""

    thumbnails: list[Pair] = field(default_factory=list)
    large: Pair | None = None
    worst: dict[str, Pair] = field(default_factory=dict)


class Snapshots:
    """Takes pictures of a plan's subjects in frames of ``size``; ``albums`` are the pictures of the first regions."""

    def __init__(self, plan: Plan, size: Size) -> None:
        regions = plan.regions[:MOST_REGIONS]
        self._regions, self._scale = regions, ratios(plan.size, size)
        self.albums = [Album() for _ in regions]
        self._weights: list[dict[str, float]] = [{} for _ in regions]
        self._shown = [spread(region.start, region.stop, THUMBNAILS) for region in regions]
        self._largest = [region.start + int((region.boxes[:, 2] - region.boxes[:, 0]).argmax()) for region in regions]

    def __call__(self, frame: PastedFrame, figures: Sequence[FrameMeasures]) -> None:
        """Take pictures of a frame if it is worth a look."""
        for one in figures:
            if one.region < len(self._regions):
                self._add(frame, one)

    def _add(self, frame: PastedFrame, figures: FrameMeasures) -> None:
        number, album, region = figures.region, self.albums[figures.region], self._regions[figures.region]
        box = region.box(figures.frame - region.start).scaled(*self._scale)
        if figures.frame in self._shown[number]:
            album.thumbnails.append(_pair(frame, box, _THUMBNAIL))
        if figures.frame == self._largest[number]:
            album.large = _pair(frame, box, _LARGE)
        for reason, weight_of in _WEIGHTS.items():
            weight = weight_of(figures)
            if weight > self._weights[number].get(reason, 0.0):
                self._weights[number][reason] = weight
                album.worst[reason] = _pair(frame, box, _MOMENT)


def _pair(frame: PastedFrame, box: Box, side: int) -> Pair:
    area, size = square_around(box, _AROUND), Size(side, side)
    before, after = (_address(zoomed(one.pixels, area, size)) for one in (frame.source, frame.result))
    return Pair(frame.source.index, before, after, side)


def _address(picture: Picture) -> str:
    """A picture as a data URL, so that the page needs no other file."""
    written = io.BytesIO()
    require("PIL.Image").fromarray(picture).save(written, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
