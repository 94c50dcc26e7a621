"""Finding what is to be detailed."""

import numpy as np
import pytest

from redetail.pipeline import subjects
from redetail.pipeline.subjects import Subjects, find
from redetail.pipeline.timecode import Span
from redetail.region import Box
from redetail.video import array_source


def test_no_detector_is_loaded_where_a_box_says_where_the_subject_is(monkeypatch):
    monkeypatch.setattr(subjects, "load_detector", lambda name: pytest.fail("a detector was loaded"))
    source = array_source(np.zeros((3, 40, 60, 3), np.uint8))
    found = find(source, Subjects(boxes=[Box(5, 5, 20, 20)]), 2.0, Span())
    assert (found.start, found.stop, len(found.regions)) == (0, 3, 1)
