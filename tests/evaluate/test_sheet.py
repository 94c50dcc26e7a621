"""Sheets: every picture stands where it should, labels do not change sizes, files are whole or named."""

import sys
from pathlib import Path

import numpy as np
import pytest

from redetail.errors import DependencyError, InputError, OutputError
from redetail.evaluate.sheet import contact_sheet, magnified, save_png, side_by_side, zoomed
from redetail.region import Box, Size

pil = pytest.importorskip("PIL.Image")


def flat(level: int, height: int = 40, width: int = 60, dtype: type = np.uint8) -> np.ndarray:
    return np.full((height, width, 3), level, dtype)


def test_pictures_stand_beside_each_other_at_the_height_of_the_first() -> None:
    sheet = side_by_side([flat(200), flat(51400, 80, 60, np.uint16)])
    assert sheet.shape == (40, 60 + 4 + 30, 3)
    assert sheet.dtype == np.uint8
    assert (sheet[:, :60] == 200).all()
    assert (sheet[:, 64:] == 200).all()
    assert (sheet[:, 60:64] == 24).all()


def test_sides_are_even() -> None:
    assert side_by_side([flat(9, 41, 61)]).shape == (42, 62, 3)


def test_a_label_changes_the_corner_and_not_the_size() -> None:
    plain, labelled = side_by_side([flat(128), flat(128)]), side_by_side([flat(128), flat(128)], ["before"])
    assert plain.shape == labelled.shape
    assert (plain != labelled)[:20, :60].any()
    np.testing.assert_array_equal(plain[:, 64:], labelled[:, 64:])


def test_rows_of_a_contact_sheet() -> None:
    rows = [[flat(10), flat(20)], [flat(30, 20, 60)]]
    sheet = contact_sheet(rows)
    assert sheet.shape == (40 + 4 + 20, 124, 3)
    assert (sheet[39, 0], sheet[39, 64], sheet[63, 59]) == pytest.approx(np.repeat([[10], [20], [30]], 3, axis=1))
    assert (sheet[63, 60:] == 24).all()


def test_labels_stand_above_columns_and_rows_and_hide_nothing() -> None:
    rows = [[flat(10, 200, 300), flat(20, 200, 300)], [flat(30, 200, 300)]]
    plain, labelled = contact_sheet(rows), contact_sheet(rows, ["source", "a result " * 30], ["frame 1", "frame 2"])
    added = labelled.shape[0] - plain.shape[0]
    assert labelled.shape[1] == plain.shape[1]
    head = added // 3
    assert (labelled[:head, :300] > 100).any()
    assert (labelled[:head, 304:] > 100).any()
    np.testing.assert_array_equal(labelled[-200:], plain[-200:])
    assert (labelled[labelled[..., 0] == 10].shape, labelled[labelled[..., 0] == 20].shape) == ((60000, 3), (60000, 3))


def test_pixel_by_pixel() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(magnified(picture, 3)[::3, ::3], picture)
    np.testing.assert_array_equal(magnified(picture, 3)[2::3, 2::3], picture)


def test_a_part_at_another_size() -> None:
    picture = flat(0)
    picture[10:20, 10:20] = 250
    assert (zoomed(picture, Box(11, 11, 19, 19), Size(32, 32))[4:-4, 4:-4] > 240).all()


@pytest.mark.parametrize("make", [side_by_side, contact_sheet])
def test_nothing_to_show_is_an_error(make) -> None:
    with pytest.raises(InputError, match="no picture"):
        make([])


def test_a_sheet_is_written_and_a_failure_named(tmp_path: Path) -> None:
    save_png(tmp_path / "sheet.png", flat(77))
    assert (np.asarray(pil.open(tmp_path / "sheet.png")) == 77).all()
    with pytest.raises(OutputError, match=r"nowhere/sheet\.png could not be written \(no such file or directory\)"):
        save_png(tmp_path / "nowhere/sheet.png", flat(77))


def test_without_pillow_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert side_by_side([flat(1)]).shape == (40, 60, 3)
    with pytest.raises(DependencyError, match="pillow is not installed"):
        side_by_side([flat(1)], ["label"])
