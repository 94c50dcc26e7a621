"""Finds where one shot ends and the next begins, frame by frame.

A cut changes the colours and the layout of the picture at once. A camera flash changes the colours but not the layout;
fast motion changes the layout more than the colours. So both must change (compare Yuan et al., "A Formal Study of Shot
Boundary Detection", 2007), and by more than the clip has been changing lately. The frame is compared with all of the
last few frames, so that the end of a flash is not a cut. Slow dissolves do not count as cuts; there, the tracker loses
the subject.

Two shots of one scene can have the same colours and nearly the same layout. Then motion decides: blocks of a frame are
searched for around their positions in the previous frame, as in motion estimation, and in a new shot most of them are
not found.

The limits for colours and layout come from 84 clips, of which about 15 have cuts, and from 83 joints between unlike
clips: at joints, the three distances were at least 0.087, 0.50 and 0.43; within most shots, at most 0.04, 0.35 and
0.28. The limits for blocks come from the 66 tuning clips of ``benchmarks/labels``: blocks raise the number of cuts
found from 20 to 28 of 32, and no other frame is taken for a cut.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import RGB, to_uint8
from redetail.imaging.thumbnail import thumbnail
from redetail.optional import require

DIFFERENCE = 0.05
"""Least mean absolute difference of Lab colours, 0..1."""
COLOURS = 0.33
"""Least share of pixels whose colour is not found in the other frame's histogram, 0..1."""
LAYOUT = 0.4
"""Least 1 - correlation of brightness, 0..2."""
RELATIVE = 4.0
"""Least ratio of the difference to the median difference of the last frames ..."""
ENOUGH = 0.085
"""... unless the difference is at least this."""
FOUND = ((4.0, 0.045, 0.775), (2.4, 0.08, 0.72))
"""Least ratio and least difference as above, and a correlation below which half of the blocks are in a new shot: the
more the picture changes at once, the less the blocks need to differ."""
BLOCK, REACH = 8, 8
"""Side of a block, and how far around its position it is searched for, in pixels of a picture of 64x64."""
TEXTURE, BLOCKS = 6.0, 8
"""Least standard deviation (0..255) of a block that can be recognised, and the fewest such blocks for a decision."""
FLAT = 6.0
"""Standard deviation of brightness (0..255) below which a picture shows nothing: a fade, a flash in full white."""
MEMORY = 4
HISTORY = 24


@dataclass(frozen=True, eq=False)
class _Signature:
    """What is kept of a frame: ``thumb`` (32, 32, 3) Lab, ``layout`` (32, 32) brightness made zero-mean and unit-norm,
    ``histogram`` (4096,) summing to 1, ``contrast`` the standard deviation of brightness, ``bright`` (64, 64)
    itself."""

    thumb: NDArray[np.float32]
    layout: NDArray[np.float32]
    histogram: NDArray[np.float64]
    contrast: float
    bright: NDArray[np.uint8]


class CutDetector:
    """Takes frames in order and tells which ones start a new shot; its memory does not grow."""

    def __init__(self) -> None:
        self._recent: deque[_Signature] = deque(maxlen=MEMORY)
        self._changes: deque[float] = deque(maxlen=HISTORY)

    def update(self, frame: RGB) -> bool:
        """Whether this (H, W, 3) frame starts a new shot; the first frame does not. The size may change between frames.
        Raises :class:`~redetail.errors.InputError` for anything but a picture."""
        return self.update_thumbnail(thumbnail(to_uint8(frame)))

    def update_thumbnail(self, small: NDArray[np.uint8]) -> bool:
        """The same for a frame's :func:`~redetail.imaging.thumbnail.thumbnail`."""
        now = _signature(small)
        if now.contrast < FLAT:
            return False
        cut = bool(self._recent) and all(self._unlike(now, before) for before in self._recent)
        if cut:
            self._recent.clear()
        elif self._recent:
            self._changes.append(_difference(now, self._recent[-1]))
        self._recent.append(now)
        return cut

    def _unlike(self, now: _Signature, before: _Signature) -> bool:
        usual = float(np.median(self._changes)) if self._changes else None
        difference = _difference(now, before)
        return _recoloured(now, before, difference, usual or 0.0) or (
            usual is not None and _displaced(now, before, difference, usual)
        )


def _recoloured(now: _Signature, before: _Signature, difference: float, usual: float) -> bool:
    """Whether colours and layout changed at once."""
    return (
        difference > max(DIFFERENCE, min(RELATIVE * usual, ENOUGH))
        and 0.5 * float(np.abs(now.histogram - before.histogram).sum()) > COLOURS
        and 1.0 - float((now.layout * before.layout).sum()) > LAYOUT
    )


def _displaced(now: _Signature, before: _Signature, difference: float, usual: float) -> bool:
    """Whether the contents of the picture cannot have moved there from where they were."""
    reached = [found for ratio, least, found in FOUND if difference > max(least, ratio * usual)]
    return bool(reached) and _recognised(now.bright, before.bright) < max(reached)


def _recognised(now: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """Median, over the blocks with texture, of their best correlation with the other picture near their positions; 1 if
    too few blocks have texture."""
    cv2 = require("cv2")
    around = cv2.copyMakeBorder(before, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT)
    best = []
    for y, x in product(range(0, now.shape[0], BLOCK), range(0, now.shape[1], BLOCK)):
        block = now[y : y + BLOCK, x : x + BLOCK]
        if block.std() > TEXTURE:
            near = around[y : y + BLOCK + 2 * REACH, x : x + BLOCK + 2 * REACH]
            best.append(cv2.matchTemplate(near, block, cv2.TM_CCOEFF_NORMED).max())
    return float(np.median(best)) if len(best) > BLOCKS else 1.0


def _difference(now: _Signature, before: _Signature) -> float:
    return float(np.abs(now.thumb - before.thumb).mean()) / 255


def _signature(small: NDArray[np.uint8]) -> _Signature:
    cv2 = require("cv2")
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    bins = (lab // 16).astype(np.int64) @ np.array([256, 16, 1])
    histogram = np.bincount(bins.ravel(), minlength=4096) / bins.size
    thumb = lab.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3), dtype=np.float32)
    bright = cv2.GaussianBlur(thumb[..., 0], (0, 0), 1.5)
    bright = bright - bright.mean()
    norm = float(np.linalg.norm(bright))
    contrast = float(thumb[..., 0].std())
    return _Signature(thumb, bright / max(norm, 1e-6), histogram, contrast, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
