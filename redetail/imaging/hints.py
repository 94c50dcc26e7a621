"""Hints: what a ControlNet is shown, computed from the crops without a network.

All hints are made for a whole run of frames at once, with one threshold for edges in all of them. With a separate
threshold for each frame, edges would come and go with the light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from redetail.errors import UnknownNameError
from redetail.imaging.sharpness import LUMA
from redetail.imaging.weights import gaussian
from redetail.optional import require

Pixels = NDArray[np.float32]

# Widths are given for a crop whose shorter side has this many pixels; they grow and shrink with the crop.
_SIDE = 512
_CANNY_SIGMA, _LINE_SIGMA, _SOFT_SIGMA, _BLUR_SIGMA = 1.4, 1.0, 2.0, 4.0
# Gradients are measured by 3x3 Sobel operators over 0..255, whose sums are eight times the slope.
_SOBEL = 8 * 255
# This share of the pixels can be strong edges, within limits: noise in a flat crop is never an edge, and in a busy crop
# all edges are.
_STRONG_SHARE, _STRONG_RANGE, _WEAK = 0.06, (60.0, 200.0), 0.4
# Contrast that this share of the pixels reaches counts as a full line or edge, if it is at least this much.
_FULL_SHARE, _LEAST_LINE, _LEAST_EDGE = 0.02, 0.02, 0.03
# Lines fainter than this share of a full line are the grid of a codec's blocks.
_FAINT = 0.15
# Statistics of a segment come from this many of its frames.
_SAMPLED = 16
# Differences of up to this much (out of 1) between neighbours are texture, which is smoothed before lines are drawn.
_TEXTURE = 0.08


def hint_names() -> tuple[str, ...]:
    """The hints that :func:`make_hint` can compute."""
    return tuple(_HINTS)


def make_hint(name: str, crops: Pixels) -> Pixels:
    """The hint that a ControlNet of this kind is shown for ``crops`` (F, h, w, 3) 0..1, in the same shape and range.

    ``canny``: thin edges (Canny 1986), white on black; ``lineart``: thin dark lines of the picture, white on black;
    ``softedge``: edges as strong as they are, grey on black; ``tile``: the crops themselves; ``blur``: the crops
    without their fine detail; ``none``: black.

    Raises :class:`~redetail.errors.UnknownNameError` for another name, and :class:`~redetail.errors.DependencyError` if
    canny or lineart is requested without OpenCV.
    """
    if name not in _HINTS:
        raise UnknownNameError("hint", name, hint_names())
    return _HINTS[name](np.clip(crops, 0, 1).astype(np.float32, copy=False))


def _canny(crops: Pixels) -> Pixels:
    """Thresholds are shared by all frames: the gradient that few of the segment's pixels exceed."""
    cv2 = require("cv2")
    grey = _blurred(_grey(crops), _width(crops, _CANNY_SIGMA))
    high = float(np.clip(_quantile(_steepness(grey), 1 - _STRONG_SHARE) * _SOBEL, *_STRONG_RANGE))
    edges = np.empty(grey.shape, np.float32)
    scale = 16  # OpenCV takes integers; a finer step than a grey level keeps flat cheeks smooth
    for index, one in enumerate(grey):
        across, down = (
            np.rint(cv2.Sobel(one * 255, cv2.CV_32F, *axis) * scale).astype(np.int16) for axis in ((1, 0), (0, 1))
        )
        edges[index] = cv2.Canny(across, down, high * _WEAK * scale, high * scale, L2gradient=True) > 0
    return _shown(edges)


def _lineart(crops: Pixels) -> Pixels:
    """A difference of Gaussians (Marr and Hildreth 1980; Winnemoeller et al. 2012) of the crop without its texture.

    A bilateral filter (Tomasi and Manduchi 1998) removes the texture and leaves edges in place. Whatever is darker than
    its surroundings is a line; the published line drawings are dark on white, and are shown inverted.
    """
    cv2, sigma = require("cv2"), _width(crops, _LINE_SIGMA)
    reach = 2 * round(2 * sigma) + 1
    smooth = np.stack([cv2.bilateralFilter(one, reach, _TEXTURE, 2 * sigma) for one in _grey(crops)])
    darker = np.maximum(_blurred(smooth, 1.6 * sigma) - _blurred(smooth, sigma), 0)
    full = max(_quantile(darker, 1 - _FULL_SHARE), _LEAST_LINE)
    return _shown(np.clip((darker / full - _FAINT) / (1 - _FAINT), 0, 1))


def _softedge(crops: Pixels) -> Pixels:
    """The slope of the blurred crop, scaled from 0 to that of the strongest edges."""
    slope = _steepness(_blurred(_grey(crops), _width(crops, _SOFT_SIGMA)))
    return _shown(np.minimum(slope / max(_quantile(slope, 1 - _FULL_SHARE), _LEAST_EDGE), 1))


def _tile(crops: Pixels) -> Pixels:
    return crops.copy()


def _blur(crops: Pixels) -> Pixels:
    sigma = _width(crops, _BLUR_SIGMA)
    return np.stack([_blurred(crops[..., channel], sigma) for channel in range(3)], axis=-1)


def _none(crops: Pixels) -> Pixels:
    return np.zeros_like(crops)


_HINTS: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType(
    {"canny": _canny, "lineart": _lineart, "softedge": _softedge, "tile": _tile, "blur": _blur, "none": _none}
)


def _grey(crops: Pixels) -> Pixels:
    """(F, h, w): the luma."""
    grey: Pixels = crops @ LUMA
    return grey


def _width(crops: Pixels, sigma: float) -> float:
    """A blur's sigma for crops of this size; below half a pixel it would do nothing."""
    return max(0.5, float(sigma * min(crops.shape[1:3]) / _SIDE))


def _blurred(planes: Pixels, sigma: float) -> Pixels:
    """(F, h, w) blurred by a Gaussian."""
    height, width = planes.shape[-2:]
    taps = 2 * int(np.ceil(3 * sigma)) + 1
    blurred: Pixels = gaussian(height, taps, sigma).rows(gaussian(width, taps, sigma).columns(planes))
    return blurred


def _steepness(planes: Pixels) -> Pixels:
    """(F, h, w): the length of the gradient, in brightness (0..1) a pixel; central differences."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    length: Pixels = np.hypot(across, down) / 2
    return length


def _quantile(planes: Pixels, share: float) -> float:
    """The quantile over a whole segment, computed from evenly spaced frames."""
    chosen = np.unique(np.linspace(0, len(planes) - 1, _SAMPLED).round().astype(int))
    return float(np.quantile(planes[chosen], share))


def _shown(planes: Pixels) -> Pixels:
    """(F, h, w) as pictures (F, h, w, 3)."""
    return np.repeat(planes[..., None], 3, axis=-1).astype(np.float32, copy=False)
