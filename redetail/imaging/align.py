"""The differences of a frame from its neighbours, which are first moved onto it along the optical flow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.imaging.flow import Flow, dense_flow, warp
from redetail.imaging.parallel import in_order
from redetail.optional import require

# A larger difference is an error of the flow or something that was hidden, not damage, and counts less and less.
TRUSTED = 20 / 255

_MOST_THREADS = 4  # the differences of a frame take much memory, and each thread holds those of one frame


@dataclass(frozen=True)
class Motion:
    """The flows from each frame of a clip to the next and to the previous one, at half size; None: no such frame."""

    after: list[Flow | None]
    before: list[Flow | None]

    def part(self, start: int, stop: int) -> Motion:
        """The motion of frames ``start`` to ``stop`` (excluded); the flows at both ends to frames outside the part are
        kept."""
        return Motion(self.after[start:stop], self.before[start:stop])


def frame_motion(frames: Iterable[NDArray[Any]]) -> Motion:
    """The motion in frames (h, w, 3) RGB of one size, uint8 or float 0..1, which can be given one by one.

    Raises :class:`~redetail.errors.DependencyError` without OpenCV.
    """
    small = [_halved(frame) for frame in frames]
    if not small:
        return Motion([], [])
    pairs = list(itertools.pairwise(small))
    flows = list(in_order(lambda pair: dense_flow(*pair), [*pairs, *(pair[::-1] for pair in pairs)], _threads()))
    return Motion([*flows[: len(pairs)], None], [None, *flows[len(pairs) :]])


def aligned_differences(
    frames: NDArray[Any], reach: int, motion: Motion | None = None, some: range | None = None
) -> Iterator[NDArray[np.float32]]:
    """For each frame, how its neighbours at -reach..-1 and 1..reach differ from it: (2 * reach, h, w, 3) float32.

    ``frames`` are (F, h, w, 3) RGB, uint8 or float 0..1; differences are in units of 0..1. Each neighbour is moved onto
    the frame along flows from frame to frame, computed at half size and chained. A difference d counts as d * exp(-(d /
    TRUSTED)**2), the influence function of Welsch's robust estimator (Holland and Welsch 1977). For neighbours before
    the first frame and after the last one, differences are zero. Random errors, such as part of compression, average
    out over the neighbours; if the neighbours agree and the frame differs, the frame is damaged. ``motion``: the motion
    of the frames, if it is known; ``some``: the frames for which differences are needed (None: all).

    Raises :class:`~redetail.errors.DependencyError` without OpenCV.
    """
    pixels, motion = _in_unit(frames), motion or frame_motion(frames)

    def differences(now: int) -> NDArray[np.float32]:
        result = np.zeros((2 * reach, *pixels.shape[1:]), np.float32)
        for step, hops in ((-1, motion.before), (1, motion.after)):
            for distance, flow in _chained(hops, now, step, reach):
                place = reach - distance if step < 0 else reach + distance - 1
                change = np.subtract(_moved(pixels[now + step * distance], flow), pixels[now])
                np.multiply(change, _influence(change), out=result[place])
        return result

    return in_order(differences, range(len(frames)) if some is None else some, _threads())


def _halved(frame: NDArray[Any]) -> NDArray[np.float32]:
    """A frame at half size, with at least one pixel per side."""
    cv2 = require("cv2")
    height, width = frame.shape[:2]
    size = (max(1, width // 2), max(1, height // 2))
    return np.asarray(cv2.resize(_in_unit(frame), size, interpolation=cv2.INTER_AREA))


def _threads() -> int:
    """As many threads as OpenCV may use: its functions do most of the work, and each call keeps one thread busy."""
    return min(_MOST_THREADS, int(require("cv2").getNumThreads()))


def _influence(change: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of a difference counts, 0..1."""
    weight = np.square(change)
    weight *= np.float32(-1 / TRUSTED**2)
    return np.exp(weight, out=weight)


def _in_unit(frames: NDArray[Any]) -> NDArray[np.float32]:
    """Frames as float32 in 0..1."""
    return frames.astype(np.float32) / np.float32(255 if frames.dtype == np.uint8 else 1)


def _chained(hops: list[Flow | None], now: int, step: int, reach: int) -> Iterator[tuple[int, Flow]]:
    """Distance and flow to each existing neighbour on one side."""
    flow: Flow | None = None
    for distance in range(1, reach + 1):
        hop = hops[now + step * (distance - 1)]
        if hop is None:
            return
        flow = hop if flow is None else flow + warp(hop, flow)
        yield distance, flow


def _moved(picture: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """A picture (h, w, 3) moved along a flow of half its size; bicubic, since linear interpolation would blur it."""
    height, width = picture.shape[:2]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    cv2 = require("cv2")
    return warp(picture, cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale, cubic=True)
