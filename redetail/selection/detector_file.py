"""Subjects that your own detector finds, from an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from redetail.detection.yolo import YoloDetector, check_runs
from redetail.documents import shown, text
from redetail.engines.spec import WeightedFile
from redetail.errors import SettingsError
from redetail.files import expanded, resolved
from redetail.region import Region, Size
from redetail.selection.base import CommandOption, Search, Selection
from redetail.selection.detected import detect_frames, track_detections
from redetail.tracking.tracker import UNSURE

THRESHOLD = 0.4
"""Confidence from which a detection counts as sure, if no other is given."""


@dataclass(frozen=True)
class DetectorFileSelection(Selection):
    """Everything that the detector in a file finds; some frames must reach the confidence ``threshold``, 0 to 1."""

    name: ClassVar[str] = "detector"
    option: ClassVar[CommandOption] = CommandOption(
        "FILE.onnx[:THRESHOLD]",
        "find subjects with this YOLO detector (v5, v8, v11 ..., including segmentation models); a subject "
        f"needs a confidence of at least THRESHOLD [{THRESHOLD}]",
    )

    path: Path
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise SettingsError(
                f"The threshold of {self.path} is {self.threshold:g}; it must be above 0 and at most 1."
            )

    @classmethod
    def from_option(cls, value: Any) -> Self | None:
        """A file's name, with its threshold after a colon."""
        if not isinstance(value, str | Path):
            raise SettingsError(f"detector is {shown(value)}; give the name of an ONNX file.")
        return cls._parsed(str(value), Path())

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> Self:
        """A file's name, with its threshold after a colon."""
        return cls._parsed(text(value), folder)

    @classmethod
    def _parsed(cls, typed: str, folder: Path) -> Self:
        stem, colon, _ = typed.rpartition(":")
        file = WeightedFile.parse(typed)
        given = colon and str(file.path) == stem
        return cls(folder / expanded(file.path), file.strength if given else THRESHOLD)

    def to_document(self) -> str:
        """The file's absolute path, a colon and the threshold."""
        return f"{resolved(self.path)}:{self.threshold!r}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def check(self, size: Size) -> None:
        """Refuse a file that is not a YOLO detector, or on which OpenCV crashes."""
        check_runs(self.path)
        self._load()

    def find(self, search: Search) -> list[Region]:
        """Run the detector over every frame and follow what it finds."""
        detections = detect_frames(search.glimpses(), self._load())
        return track_detections(detections, search.size, search.crop_factor, sure=self.threshold)

    def _load(self) -> YoloDetector:
        return YoloDetector(self.path, threshold=min(UNSURE, self.threshold))

    @property
    def nothing_found(self) -> str:
        """The message names the file."""
        return f"{self.path} found nothing, so nothing was detailed; try a lower threshold, as in FILE.onnx:0.2."
