"""Subjects that a detector in an ONNX file finds."""

from pathlib import Path

import numpy as np
import pytest

from redetail.errors import ModelError, SettingsError
from redetail.region import Size
from redetail.selection import Search, filters_from_options, select_regions
from redetail.selection.detector_file import DetectorFileSelection
from redetail.video import array_source
from redetail.video.span import Span
from tests.detection.onnx_writer import detector, node, write_onnx


def clip(frames: int = 8) -> np.ndarray:
    pictures = np.zeros((frames, 64, 64, 3), np.uint8)
    pictures[:, 8:16, 8:16, 0] = 255
    pictures[:, 40:48, 40:48, 1] = 255
    return pictures


def selected(path: Path, **filters: object):
    search = Search(array_source(clip()), Span(), 2.0)
    return select_regions((DetectorFileSelection(path),), search, filters_from_options(filters))


def test_what_it_finds_is_followed_under_the_names_of_the_file(tmp_path: Path) -> None:
    found = selected(detector(tmp_path / "d.onnx", "v8"))
    assert sorted(one.label for one in found.subjects) == ["green 2", "red 1"]
    assert all((one.start, one.stop) == (0, 8) for one in found.regions)


def test_classes_are_chosen_by_name(tmp_path: Path) -> None:
    found = selected(detector(tmp_path / "d.onnx", "v8"), detector_classes=["green, blue"])
    assert [one.label for one in found.subjects] == ["green 2"]
    assert [one.reason for one in found.left_out] == ["'red' is not among --detector-classes"]


@pytest.mark.parametrize(
    ("typed", "path", "threshold"), [("a.onnx", "a.onnx", 0.4), ("a.onnx:0.25", "a.onnx", 0.25), ("a:b", "a:b", 0.4)]
)
def test_the_threshold_stands_after_the_name(typed: str, path: str, threshold: float, tmp_path: Path) -> None:
    selection = DetectorFileSelection.from_option(typed)
    assert selection == DetectorFileSelection(Path(path), threshold)
    there = DetectorFileSelection.from_document(typed, tmp_path)
    assert there == DetectorFileSelection(tmp_path / path, threshold)
    assert DetectorFileSelection.from_document(there.to_document(), Path("elsewhere")) == there


def test_a_file_that_crashes_opencv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.onnx"
    convolution = node("Conv", ["images", "weights"], "output0", kernel_shape=[1, 1])
    write_onnx(path, [convolution], {"images": [1, 3, 64, 64]}, {"output0": [1, 6, 64]})  # its weights are missing
    with pytest.raises(ModelError, match="OpenCV crashes on the detector"):
        DetectorFileSelection(path).check(Size(64, 48))


@pytest.mark.parametrize("names", ["{[]: 1}", "(" * 9999, "[" * 99])
def test_metadata_that_cannot_be_read_is_left_out(tmp_path: Path, names: str) -> None:
    detector(tmp_path / "d.onnx", "v8", names=names)
    DetectorFileSelection(tmp_path / "d.onnx").check(Size(64, 48))


def test_an_input_of_any_size_is_refused(tmp_path: Path) -> None:
    path = detector(tmp_path / "d.onnx", "v8", input_shape=[1, 3, 10**6, 10**6])
    with pytest.raises(ModelError, match="an input of at most 4096 pixels on each side"):
        DetectorFileSelection(path).check(Size(64, 48))


def test_a_bad_file_is_refused_before_the_clip_is_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        DetectorFileSelection(tmp_path / "none.onnx").check(Size(64, 64))
    with pytest.raises(SettingsError, match=r"threshold of a\.onnx is 2; it must be above 0 and at most 1"):
        DetectorFileSelection.from_option("a.onnx:2")
    with pytest.raises(SettingsError, match="detector is 3; give the name"):
        DetectorFileSelection.from_option(3)
