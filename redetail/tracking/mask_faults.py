"""Removes the faults of masks that segmenters make: specks and lines in a frame, and frames unlike all those around
them.

Otherwise, a single white pixel far away would determine the size of the crop window throughout the clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from redetail.optional import require

SPECK = 0.001
"""Share of the area of the largest part up to which a part of a mask is a speck."""
LINE = 2
"""Shorter side in pixels up to which a part of a mask is a line ..."""
BROAD = 16
"""... if the shorter side of the largest part has at least this many pixels."""
MOST = 0.1
"""Share of the visible pixels that all specks together may have; a mask with more is grainy on purpose."""
AROUND = 4
"""Frames on each side that a frame is compared with."""
FAR = 0.5
"""Share of the subject's longer side by which an edge of the box is displaced in a frame that is unlike the others
..."""
LEAST_FAR = 24.0
"""... and least number of pixels."""

Boxes = NDArray[np.float64]


def without_specks(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The visible pixels (H, W) of a mask without specks and lines around its largest part."""
    cv2 = require("cv2")
    count, labels, stats, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
    if count <= 2:  # the background and one part
        return seen
    areas, sides = stats[1:, cv2.CC_STAT_AREA], stats[1:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1].min(axis=1)
    largest = int(areas.argmax())
    specks = areas <= SPECK * areas[largest]
    if sides[largest] >= BROAD:
        specks |= sides <= LINE
    if not specks.any() or areas[specks].sum() > MOST * areas.sum():
        return seen
    kept: NDArray[np.bool_] = np.concatenate([[False], ~specks])[labels]
    return kept


def unlike_frames(boxes: Boxes) -> dict[int, Boxes]:
    """Frames whose box (one of (F, 4)) is far from those before and after, although these agree, and the box expected
    there.

    At an end of the clip there are boxes only on one side, and these must agree with one another.
    """
    found = {}
    for index, box in enumerate(boxes):
        before, after = boxes[max(0, index - AROUND) : index], boxes[index + 1 : index + 1 + AROUND]
        sides = [side for side in (before, after) if len(side) >= 2]
        if not sides or (len(sides) == 1 and len(sides[0]) < AROUND):
            continue
        medians = [np.median(side, axis=0) for side in sides]
        around = sides[0] if len(sides) == 1 else np.stack(medians)
        expected = np.mean(medians, axis=0)
        far = max(FAR * float((expected[2:] - expected[:2]).max()), LEAST_FAR)
        agree = float(np.abs(around - expected).max()) <= far / 2
        if agree and all(float(np.abs(box - median).max()) > far for median in medians):
            found[index] = expected
    return found
