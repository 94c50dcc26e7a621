"""Detectors in ONNX files with the layouts of the YOLO family, run by OpenCV.

The shapes of a file's outputs determine its layout:

- (1, 4 + C, N): centre, width, height and the scores of C classes of N cells (v8, v9, v11, v12);
- (1, N, 5 + C): the same as rows, with a score that something is there at all (v5, v7);
- (1, N, 6), N at most 1000: corners, score and class of what non-maximum suppression has left (v10, exports with it).

Segmentation files add coefficients to each row, and a second output (1, M, h, w) with the M prototypes that these
weight (Bolya et al., "YOLACT", ICCV 2019). Boxes are in pixels of the network's input.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.detection.base import RGB, to_uint8
from redetail.detection.onnx_file import OnnxHeader, read_header
from redetail.errors import ModelError, SettingsError
from redetail.optional import require
from redetail.region import Box, Detection, Size

USUAL_SIDE = 640
"""Side of the input in pixels, if a file takes any size and its metadata names none."""
GREY = 114
"""Level of the border around a frame whose shape differs from the input's, as in the training of these detectors."""
SAME = 0.5
"""Intersection over union from which two boxes of a class count as the same subject."""
MOST_FINAL = 1000
"""Most rows of an output after non-maximum suppression; without suppression there is a row for each cell."""
MAX_FOUND = 100
_LARGEST = 4096
"""Longest side of an input, in pixels; published detectors take up to 1280."""
_PATIENCE = 60
"""Seconds that a detector may take for its first frame."""
_PROBE = """
import sys, cv2, numpy
network = cv2.dnn.readNetFromONNX(sys.argv[1])
network.setInput(numpy.zeros((1, 3, int(sys.argv[2]), int(sys.argv[3])), numpy.float32))
network.forward(network.getUnconnectedOutLayersNames())
"""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """The content of an output: ``boxes`` (N, 4) x1, y1, x2, y2 in pixels of the input, ``scores`` (N,) 0..1,
    ``classes`` (N,)."""

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]


class YoloDetector:
    """Subjects that a user's own detector finds.

    ``threshold``: least confidence (0..1) that is reported. Raises :class:`~redetail.errors.ModelError` for a file that
    is not such a detector. Do not share a detector between threads.
    """

    def __init__(self, path: Path, *, threshold: float = 0.25) -> None:
        if not 0 <= threshold <= 1:
            raise SettingsError(f"The detection threshold is {threshold}; it must be between 0 and 1.")
        self.path, self.threshold = path, threshold
        header = read_header(path)
        self.size = _input_size(header, path)
        self.names = _class_names(header)
        self._cv2 = require("cv2")
        try:
            self._network = self._cv2.dnn.readNetFromONNX(str(path))
        except self._cv2.error as error:
            raise ModelError(f"OpenCV cannot run the detector {path}: {_reason(error)}") from error

    def detect(self, frame: RGB) -> list[Detection]:
        """All subjects of an RGB frame (H, W, 3) uint8 or uint16, most confident first; see
        :class:`~.base.Detector`.
        """
        rgb = to_uint8(frame)
        size = Size(rgb.shape[1], rgb.shape[0])
        scale = min(self.size.width / size.width, self.size.height / size.height)
        picture, left, top = self._letterboxed(rgb, scale)
        rows = rows_of(self._outputs(picture), len(self.names), str(self.path))
        found = []
        for index in self._kept(rows):
            box = Box(*_ordered(rows.boxes[index])).moved(-left, -top).scaled(1 / scale, 1 / scale).clipped(size)
            if box is not None:
                found.append(Detection(box, float(rows.scores[index]), self._label(int(rows.classes[index]))))
        return found

    def _label(self, number: int) -> str:
        return self.names[number] if number < len(self.names) else f"class {number}"

    def _letterboxed(self, rgb: NDArray[np.uint8], scale: float) -> tuple[NDArray[np.uint8], int, int]:
        """The frame in the middle of a grey picture of the input's size, and the position of its corner."""
        cv2 = self._cv2
        width, height = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        left, top = (self.size.width - width) // 2, (self.size.height - height) // 2
        picture = np.full((*self.size.shape, 3), GREY, np.uint8)
        picture[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=method)
        return picture, left, top

    def _outputs(self, picture: NDArray[np.uint8]) -> list[Floats]:
        self._network.setInput(self._cv2.dnn.blobFromImage(picture, 1 / 255))
        try:
            outputs: Sequence[Floats] = self._network.forward(self._network.getUnconnectedOutLayersNames())
        except self._cv2.error as error:
            raise ModelError(f"OpenCV cannot run the detector {self.path}: {_reason(error)}") from error
        return list(outputs)

    def _kept(self, rows: Rows) -> list[int]:
        """The rows with enough confidence that are not duplicates of better ones, most confident first."""
        sure = np.flatnonzero((rows.scores >= self.threshold) & np.isfinite(rows.boxes).all(axis=1))
        corners = rows.boxes[sure]
        places = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        scores, classes = rows.scores[sure].tolist(), rows.classes[sure].tolist()
        kept = self._cv2.dnn.NMSBoxesBatched(places.tolist(), scores, classes, self.threshold, SAME) if scores else []
        found = [int(sure[index]) for index in kept]
        return sorted(found, key=lambda index: -rows.scores[index])[:MAX_FOUND]


def check_runs(path: Path) -> None:
    """Raise :class:`~redetail.errors.ModelError` for a detector on which OpenCV crashes.

    OpenCV's ONNX reader does not survive every damaged file, so it first reads the file in a separate process.
    """
    size = _input_size(read_header(path), path)
    given = [sys.executable, "-I", "-c", _PROBE, str(path), str(size.height), str(size.width)]
    try:
        code = subprocess.run(given, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"The detector {path} takes more than {_PATIENCE} s for one frame; use a faster detector."
        ) from error
    except OSError:
        return  # processes cannot be started here
    if code.returncode < 0 or code.returncode > 255:  # a signal, or an exception of Windows
        raise ModelError(f"OpenCV crashes on the detector {path}, so the file is probably damaged; export it again.")


def rows_of(outputs: Sequence[NDArray[Any]], classes: int, name: str) -> Rows:
    """The rows in the network's outputs; ``classes``: how many classes the metadata names (0: none); ``name``: the
    file's.

    Raises :class:`~redetail.errors.ModelError` if the shapes do not match any layout.
    """
    tables = [output for output in outputs if output.ndim == 3 and output.shape[0] == 1]
    prototypes = [output for output in outputs if output.ndim == 4 and output.shape[0] == 1]
    shapes = ", ".join("x".join(map(str, output.shape)) for output in outputs)
    unknown = ModelError(
        f"{name} has outputs of the shapes {shapes}, which no YOLO detector has; export it again, or use another one."
    )
    if len(tables) != 1 or len(prototypes) > 1 or len(tables) + len(prototypes) != len(outputs):
        raise unknown
    table, masks = tables[0][0].astype(np.float32), prototypes[0].shape[1] if prototypes else 0
    by_column = table.shape[0] < table.shape[1]
    rows = table.T if by_column else table
    if rows.shape[1] < 5 + masks or (classes and rows.shape[1] < 4 + classes and len(rows) > MOST_FINAL):
        raise unknown
    if not by_column and len(rows) <= MOST_FINAL and rows.shape[1] >= 6:
        return Rows(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))
    first = 4 if by_column else 5
    scores = rows[:, first : first + classes] if classes else rows[:, first : rows.shape[1] - masks]
    if not scores.shape[1]:
        raise ModelError(
            f"{name} has outputs of the shapes {shapes}, which leave no room for classes; export it again."
        )
    there = 1.0 if by_column else rows[:, 4]
    best = scores.argmax(axis=1)
    return Rows(_corners(rows[:, :4]), scores.max(axis=1) * there, best)


def _corners(places: Floats) -> Floats:
    """Boxes (N, 4) x1, y1, x2, y2 from centres and sizes."""
    centre, half = places[:, :2], np.maximum(places[:, 2:4], 0) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _ordered(corners: Floats) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(float, corners)
    return x1, y1, max(x1, x2), max(y1, y2)


def _input_size(header: OnnxHeader, path: Path) -> Size:
    """The size of the picture that the network takes."""
    shapes = list(header.inputs.values())
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (3, None):
        raise ModelError(
            f"The input of {path} is not a single picture of shape (1, 3, height, width), so the file is not a "
            "YOLO detector; give another file."
        )
    height, width = shapes[0][2:]
    if height is None or width is None:
        sides = _literal(header.metadata.get("imgsz", ""))
        known = isinstance(sides, list) and len(sides) == 2 and all(isinstance(one, int) and one > 0 for one in sides)
        height, width = sides if known else (USUAL_SIDE, USUAL_SIDE)
    if max(height, width) > _LARGEST:
        raise ModelError(
            f"{path} expects {width}x{height} input; export it with an input of at most {_LARGEST} pixels on each side."
        )
    return Size(width, height)


def _class_names(header: OnnxHeader) -> tuple[str, ...]:
    """Names of the classes in their order; empty if the metadata has none."""
    names = _literal(header.metadata.get("names", ""))
    if isinstance(names, dict):
        names = [names.get(number, f"class {number}") for number in range(len(names))]
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _literal(text: str) -> Any:
    """The value of text that an exporter wrote in Python's syntax; None for anything else."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _reason(error: Exception) -> str:
    """The last sentence of OpenCV's message, which begins with OpenCV's own files and lines."""
    return " ".join(str(error).split()).rpartition("error: ")[2][:200]
