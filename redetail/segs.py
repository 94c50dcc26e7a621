"""``Seg`` and ``Segs``: the exchange type of detailing nodes.

Every pack that exchanges SEGS reads these field names in this order, so a ``Seg`` is a plain named tuple and
``_replace`` works on it. Input may be any pack's tuple with the same attributes.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Seg(NamedTuple):
    """One segment of an image or of all frames of a clip.

    ``cropped_image`` is None, (1, h, w, C) or (F, h, w, C), float 0..1; ``cropped_mask`` is (h, w), shared by all
    frames, or (F, h, w); ``crop_region`` and ``bbox`` are x1, y1, x2, y2 in pixels with exclusive ends.
    """

    cropped_image: Any
    cropped_mask: Any
    confidence: float
    crop_region: tuple[int, int, int, int]
    bbox: tuple[float, float, float, float]
    label: str
    control_net_wrapper: Any = None


Segs = tuple[tuple[int, int], list[Seg]]
"""((height, width) of the image that the regions refer to, segments)."""
