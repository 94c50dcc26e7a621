"""Finding what is selected."""

from pathlib import Path

import numpy as np
import pytest

from redetail.errors import InputError
from redetail.region import Box, Region
from redetail.selection import Search, select_regions
from redetail.selection.base import InMemory
from redetail.selection.boxes import BoxSelection
from redetail.selection.detected import DetectorSelection
from redetail.selection.masks import MaskSelection
from redetail.video import array_source, open_source
from redetail.video.color import Decoder
from redetail.video.span import Span

CLIP = Path(__file__).parents[1] / "data" / "clips" / "guitarist.mp4"
SOURCE = array_source(np.zeros((3, 40, 60, 3), np.uint8))


def search(span: Span | None = None) -> Search:
    return Search(SOURCE, span or Span(), 2.0)


class Nobody:
    def detect(self, frame):
        return []


def test_the_range_is_read_not_believed() -> None:
    assert search().frame_range() == (0, 3)
    assert search(Span("1f", "2f")).frame_range() == (1, 2)
    with pytest.raises(InputError, match="no frame between start 9"):
        search(Span(9)).frame_range()


def test_counting_frames_does_not_convert_them(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(CLIP)
    monkeypatch.setattr(Decoder, "__call__", lambda *_: pytest.fail("a picture was converted"))
    assert Search(source, Span(), 2.0).frame_range() == (0, 69)
    assert Search(source, Span("20f", "31f"), 2.0).frame_range() == (20, 31)


def test_frames_are_read_once_for_all_selections() -> None:
    reports = []
    both = (BoxSelection((Box(5, 5, 20, 20),)), DetectorSelection(Nobody()))
    found = select_regions(both[::-1], Search(SOURCE, Span(), 2.0, reports.append))
    assert (found.start, found.stop, [region.label for region in found.regions]) == (0, 3, ["box"])
    assert [report.done for report in reports] == [0, 1, 2, 3, 3]


def test_whatever_is_wrong_is_refused_before_a_frame_is_read() -> None:
    reports = []
    selections = (DetectorSelection(Nobody()), BoxSelection((Box(200, 200, 300, 300),)))
    with pytest.raises(Exception, match="lies outside the"):
        select_regions(selections, Search(SOURCE, Span(), 2.0, reports.append))
    assert reports == []


def test_nobody_found_is_said() -> None:
    found = select_regions((DetectorSelection(Nobody()),), search())
    assert found.regions == []
    assert found.notices == ("No subject was found, so nothing was detailed; mark the subject with --box or --mask.",)


def test_values_in_memory_are_equal_to_themselves_only() -> None:
    mask = np.ones((40, 60))
    assert MaskSelection(InMemory(mask)) == MaskSelection(InMemory(mask))
    assert hash(MaskSelection(InMemory(mask))) == hash(MaskSelection(InMemory(mask)))
    assert MaskSelection(InMemory(mask)) != MaskSelection(InMemory(mask.copy()))


def test_all_kinds_find_regions() -> None:
    mask = np.zeros((40, 60))
    mask[10:20, 10:20] = 1
    found = select_regions((BoxSelection((Box(5, 5, 20, 20),)), MaskSelection(InMemory(mask))), search())
    assert [region.label for region in found.regions] == ["box", "mask"]
    assert all(isinstance(region, Region) for region in found.regions)
