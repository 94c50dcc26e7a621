"""Boxes of hands, found with the two models of MediaPipe Hands (Zhang et al. 2020, arXiv:2006.10214).

The first finds palms, but also ears and petals; the second examines each place closely and says which are hands.
Both (Apache-2.0) lie in the wheel of the package mediapipe: modules/palm_detection/palm_detection_full.tflite and
modules/hand_landmark/hand_landmark_full.tflite. They run in the package ai-edge-litert, installed by hand; mediapipe
itself is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIDE = 192  # pixels of the square in which palms are found
CLOSE = 224  # pixels of the square that shows a hand to the second model
GRIDS = ((24, 2), (12, 6))  # (cells a side, anchors a cell): stride 8 once, stride 16 three times, two anchors each
WRIST, MIDDLE = 2, 4  # rows of a palm: centre, size, then the wrist, the knuckles of index and middle finger, ...
OVERLAP = 0.3  # of two boxes of one palm, intersection over union
WHOLE = 300  # pixels of the longer side up to which a picture is searched only as a whole
TILE = 256  # pixels of the squares in which a larger one is searched as well


def anchors() -> Array:
    """Centres (2016, 2) of the anchors, x and y in 0..1, row by row; their size is one for all of them."""
    centres = []
    for cells, each in GRIDS:
        y, x = (np.indices((cells, cells)) + 0.5) / cells
        centres.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), each, axis=0))
    return np.concatenate(centres).astype(np.float32)


def letterbox(picture: NDArray[np.uint8]) -> tuple[Array, float, Array]:
    """A picture (h, w, 3) on a black square (192, 192, 3) in 0..1, its scale there, and its corner (x, y)."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    square[top : top + size[1], left : left + size[0]] = small / 255
    return square, scale, np.array([left, top], dtype=np.float32)


def decode(regressors: Array, logits: Array, threshold: float) -> tuple[Array, Array]:
    """Palms (n, 9, 2) in pixels of the input, and their scores (n,) above the threshold.

    Args:
        regressors: (2016, 18): centre and seven points against the anchor, the size itself, all in pixels of the input.
        logits: (2016,).
        threshold: of the scores, 0..1.

    Each palm holds its centre, its size, and its points.
    """
    scores = np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)
    found = scores > threshold
    palms = regressors[found].reshape(-1, 9, 2).copy()
    offsets = anchors()[found, None] * SIDE
    palms[:, :1] += offsets
    palms[:, 2:] += offsets
    return palms, scores[found]


def overlaps(palm: Array, others: Array) -> Array:
    """Intersection over union (n,) of the box of one palm (9, 2) with those of others (n, 9, 2)."""
    low = np.maximum(palm[0] - palm[1] / 2, others[:, 0] - others[:, 1] / 2)
    high = np.minimum(palm[0] + palm[1] / 2, others[:, 0] + others[:, 1] / 2)
    common = np.clip(high - low, 0, None).prod(axis=-1)
    return np.asarray(common / (palm[1].prod() + others[:, 1].prod(axis=-1) - common + 1e-9), np.float32)


def suppress(palms: Array, scores: Array) -> Array:
    """The palms that overlap none of a higher score, best first."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not kept or overlaps(palms[index], palms[kept]).max() < OVERLAP:
            kept.append(int(index))
    return palms[kept]


def hand_square(palm: Array) -> tuple[Array, float, Array]:
    """Centre (x, y) and side in pixels of the square that holds the hand of a palm, and where its fingers point.

    It is 2.6 times the palm, moved by half the palm from the wrist towards the middle finger: what the second model
    was trained on. The direction has length one.
    """
    side = float(palm[1].max())
    towards = palm[MIDDLE] - palm[WRIST]
    towards /= max(float(np.hypot(*towards)), 1e-6)
    return palm[0] + np.float32(0.5 * side) * towards, 2.6 * side, towards


def hand_box(palm: Array, width: int, height: int) -> list[float]:
    """Upright box [x, y, w, h] of the hand of a palm, within the picture."""
    centre, side, _ = hand_square(palm)
    bounds = np.array([width, height])
    low, high = np.clip(centre - side / 2, 0, bounds), np.clip(centre + side / 2, 0, bounds)
    return [round(float(v), 1) for v in (*low, *(high - low))]


def upright(picture: NDArray[np.uint8], palm: Array) -> Array:
    """The hand of a palm (224, 224, 3) in 0..1, turned so that its fingers point up."""
    centre, side, (x, y) = hand_square(palm)
    turn = np.array([[-y, x], [-x, -y]]) * CLOSE / max(side, 1e-6)
    matrix = np.column_stack([turn, CLOSE / 2 - turn @ centre])
    close = cv2.warpAffine(picture, matrix, (CLOSE, CLOSE), flags=cv2.INTER_LINEAR)
    return close.astype(np.float32) / np.float32(255)


def tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Windows (rows, columns) to search: the whole picture and, for a large one, half-overlapping squares."""
    whole = [(slice(0, height), slice(0, width))]
    if max(height, width) <= WHOLE:
        return whole

    def starts(length: int) -> list[int]:
        count = 1 + max(0, -(-2 * (length - TILE) // TILE))
        return [round(v) for v in np.linspace(0, max(0, length - TILE), count)]

    return whole + [(slice(y, y + TILE), slice(x, x + TILE)) for y in starts(height) for x in starts(width)]


def load_model(path: Path) -> Any:
    """An interpreter of a tflite file on one thread. Raises ModuleNotFoundError with the remedy."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ModuleNotFoundError(
            "Finding hands needs the package ai-edge-litert: pip install ai-edge-litert; or leave out --palm."
        ) from error
    network = Interpreter(model_path=str(path), num_threads=1)
    network.allocate_tensors()
    return network


def run_model(network: Any, picture: Array) -> dict[str, Array]:
    """The outputs of a model, without their first axis, for one picture (side, side, 3)."""
    network.set_tensor(network.get_input_details()[0]["index"], picture[None])
    network.invoke()
    return {each["name"]: network.get_tensor(each["index"])[0] for each in network.get_output_details()}


class HandDetector:
    """Finds hands in pictures.

    Args:
        palm: palm_detection_full.tflite.
        landmark: hand_landmark_full.tflite.
        threshold: 0..1, of the scores of palms.
        presence: 0..1, least probability of a hand where a palm was found.

    Raises ModuleNotFoundError with the remedy.
    """

    def __init__(self, palm: Path, landmark: Path, threshold: float = 0.5, presence: float = 0.8) -> None:
        self.finder, self.judge = load_model(palm), load_model(landmark)
        self.threshold, self.presence = threshold, presence

    def palms(self, picture: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Palms (n, 9, 2) in pixels of a picture (h, w, 3) that is searched as a whole, and their scores (n,)."""
        square, scale, corner = letterbox(picture)
        found = run_model(self.finder, square)
        palms, scores = decode(found["Identity"], found["Identity_1"][:, 0], self.threshold)
        palms[:, :1] -= corner
        palms[:, 2:] -= corner
        return palms / np.float32(scale), scores

    def detect(self, picture: NDArray[np.uint8]) -> list[list[float]]:
        """Boxes [x, y, w, h] of the hands in an RGB picture (h, w, 3) uint8, surest first."""
        height, width = picture.shape[:2]
        found, scores = [], []
        for rows, columns in tiles(height, width):
            palms, sure = self.palms(np.ascontiguousarray(picture[rows, columns]))
            corner = np.array([columns.start, rows.start], np.float32)
            palms[:, :1] += corner
            palms[:, 2:] += corner
            found.append(palms)
            scores.append(sure)
        kept = suppress(np.concatenate(found), np.concatenate(scores))
        return [hand_box(palm, width, height) for palm in kept if self.is_hand(picture, palm)]

    def is_hand(self, picture: NDArray[np.uint8], palm: Array) -> bool:
        """Whether there is a hand round a palm (9, 2) of this picture."""
        return float(run_model(self.judge, upright(picture, palm))["Identity_1"][0]) >= self.presence
