"""Detectors in ONNX files: layouts by closed forms, then small files that OpenCV runs."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from redetail.detection.onnx_file import read_header
from redetail.detection.yolo import YoloDetector, rows_of
from redetail.errors import ModelError, SettingsError
from redetail.region import Box
from tests.detection.onnx_writer import detector, info, node, tensor, write_onnx


def frame(height: int, width: int, **squares: tuple[int, int, int]) -> np.ndarray:
    """A black picture with a red and a green square: x, y and side."""
    picture = np.zeros((height, width, 3), np.uint8)
    for name, (x, y, side) in squares.items():
        picture[y : y + side, x : x + side, ("red", "green").index(name)] = 255
    return picture


def test_columns_hold_centres_sizes_and_classes() -> None:
    table = np.zeros((1, 6, 2000), np.float32)
    table[0, :, 7] = [30, 20, 10, 8, 0.2, 0.9]
    rows = rows_of([table], 0, "x.onnx")
    assert rows.boxes[7].tolist() == [25, 16, 35, 24]
    assert (rows.scores[7], rows.classes[7]) == (np.float32(0.9), 1)


def test_rows_have_a_score_that_something_is_there() -> None:
    table = np.zeros((1, 2000, 7), np.float32)
    table[0, 7] = [30, 20, 10, 8, 0.5, 0.2, 0.9]
    rows = rows_of([table], 0, "x.onnx")
    assert rows.boxes[7].tolist() == [25, 16, 35, 24]
    assert (rows.scores[7], rows.classes[7]) == (np.float32(0.45), 1)


def test_few_rows_hold_corners_score_and_class() -> None:
    table = np.zeros((1, 300, 6), np.float32)
    table[0, 7] = [25, 16, 35, 24, 0.9, 3]
    rows = rows_of([table], 80, "x.onnx")
    assert rows.boxes[7].tolist() == [25, 16, 35, 24]
    assert (rows.scores[7], rows.classes[7]) == (np.float32(0.9), 3)


@pytest.mark.parametrize(("classes", "names"), [(2, 0), (2, 2)])
def test_coefficients_of_masks_are_no_classes(classes: int, names: int) -> None:
    table = np.full((1, 4 + classes + 32, 2000), 9.0, np.float32)
    table[0, 4 : 4 + classes] = 0.3
    rows = rows_of([table, np.zeros((1, 32, 40, 40), np.float32)], names, "x.onnx")
    assert rows.scores.max() == np.float32(0.3)


@pytest.mark.parametrize(
    "shapes", [[(1, 8400)], [(1, 4, 8400)], [(1, 84, 8400)] * 2, [(2, 84, 8400)], [(1, 8400, 6)], [(1, 3, 80, 80)]]
)
def test_other_shapes_are_refused_with_their_numbers(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ModelError, match=r"x\.onnx has outputs of the shapes .*, which no YOLO detector has"):
        rows_of([np.zeros(shape, np.float32) for shape in shapes], 80, "x.onnx")


@pytest.mark.parametrize(("layout", "side"), [("v8", 64), ("v8-seg", 64), ("v5", 288)])
def test_a_file_is_run_and_its_boxes_are_those_of_the_frame(tmp_path: Path, layout: str, side: int) -> None:
    network = YoloDetector(detector(tmp_path / "d.onnx", layout, side=side), threshold=0.5)
    picture = frame(side, side, red=(8, 16, 8), green=(40, 40, 8))
    found = {one.label: one for one in network.detect(picture)}
    assert len(network.detect(picture)) == 2
    assert found["red"].box == Box(4, 12, 20, 28)
    assert found["green"].box == Box(36, 36, 52, 52)
    assert found["red"].confidence == pytest.approx(0.9 if layout == "v5" else 1.0)
    assert network.detect(picture.astype(np.uint16) * 257) == network.detect(picture)


def test_a_wide_frame_is_fitted_into_the_input(tmp_path: Path) -> None:
    network = YoloDetector(detector(tmp_path / "d.onnx", "v8"), threshold=0.6)
    (found,) = network.detect(frame(128, 256, red=(32, 32, 32)))  # four times smaller: 16 rows of grey above
    assert found.box == Box(16, 16, 80, 80)


def test_files_without_names_number_their_classes(tmp_path: Path) -> None:
    network = YoloDetector(detector(tmp_path / "d.onnx", "v8", names=None), threshold=0.5)
    assert [one.label for one in network.detect(frame(64, 64, green=(8, 8, 8)))] == ["class 1"]


@pytest.mark.parametrize(("metadata", "side"), [({}, 640), ({"imgsz": "[320, 256]"}, 320), ({"imgsz": "x("}, 640)])
def test_an_input_of_any_size_is_that_of_the_metadata(tmp_path: Path, metadata: dict[str, str], side: int) -> None:
    path = write_onnx(
        tmp_path / "d.onnx",
        [node("Relu", ["images"], "out")],
        {"images": ["batch", 3, "height", "width"]},
        {"out": [1, 3, 8, 8]},
        metadata=metadata,
    )
    assert read_header(path).inputs == {"images": (None, 3, None, None)}
    network = YoloDetector(path)
    assert network.size.height == side
    with pytest.raises(ModelError, match="which no YOLO detector has"):
        network.detect(frame(64, 64))


def test_what_is_not_a_detector_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "d.onnx"
    with pytest.raises(ModelError, match=r"d\.onnx cannot be read \(No such file"):
        YoloDetector(path)
    for content in (b"", b"PK\x03\x04 a zip", b"\x08\x08", np.random.default_rng(0).bytes(999)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"d\.onnx is not an ONNX file"):
            YoloDetector(path)
    weights = [tensor("w", np.zeros(3, np.float32), external=True)]
    write_onnx(path, [node("Add", ["x", "w"], "y")], {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}, weights)
    with pytest.raises(ModelError, match=r"d\.onnx keeps its weights in other files; export it as one file"):
        YoloDetector(path)
    write_onnx(path, [node("Relu", ["x"], "y")], {"x": [1, 7]}, {"y": [1, 7]})
    with pytest.raises(ModelError, match="is not a single picture of shape"):
        YoloDetector(path)
    write_onnx(path, [node("NoSuchOperator", ["x"], "y")], {"x": [1, 3, 64, 64]}, {"y": [1, 3, 64, 64]})
    with pytest.raises(ModelError, match=r"OpenCV cannot run the detector .*d\.onnx"):
        YoloDetector(path).detect(frame(64, 64))
    with pytest.raises(SettingsError, match="threshold is 2"):
        YoloDetector(path, threshold=2)


def test_every_cut_of_a_file_is_refused_or_read(tmp_path: Path) -> None:
    whole = detector(tmp_path / "d.onnx", "v8").read_bytes()
    for end in range(0, len(whole), 97):
        (tmp_path / "cut.onnx").write_bytes(whole[:end])
        with suppress(ModelError):  # and nothing else
            read_header(tmp_path / "cut.onnx")


def test_the_writer_writes_what_the_reader_reads() -> None:
    assert info("x", [1, "n"]).startswith(b"\x0a\x01x")
