"""Which of the subjects that were found are detailed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import redetail
from redetail.engines import FakeEngine
from redetail.errors import InputError, RedetailError, SettingsError, UnknownNameError
from redetail.job import Job, Subject, text_of
from redetail.pipeline.plan_document import plan_to_document
from redetail.region import Region, Size
from redetail.selection.filters import FILTERS, filtered, filters_from_options, laid_over
from redetail.selection.people import recognised
from redetail.selection.subjects import FoundSubject, numbered
from tests.clips import CLIPS, clip_frames


def region(label: str, side: float, confidence: float = 0.9, start: int = 0, person: int | None = None) -> Region:
    boxes = np.tile([0, 0, side, side * 1.3], (4, 1))
    return Region(label, confidence, start, Size(200, 200), np.zeros((4, 2)), boxes, person=person)


FOUND = numbered([region("face 1", 90), region("face 2", 40, 0.7), region("face 3", 60, 0.8), region("box", 20, 1.0)])


def kept(**options: object) -> list[int]:
    return [subject.number for subject in filtered(FOUND, filters_from_options(options))[0]]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({}, [1, 2, 3, 4]),
        ({"only": 2}, [2]),
        ({"only": [[1, "box"], ["face 3"]]}, [1, 3, 4]),
        ({"skip": ["face 1", 3]}, [2, 4]),
        ({"only": [1, 2], "skip": 1}, [2]),
        ({"min_confidence": 0.8}, [1, 3, 4]),
        ({"min_size": 41}, [1, 3]),
        ({"largest": 2}, [1, 3]),
        ({"largest": 1, "skip": 1}, [3]),
        ({"largest": 9}, [1, 2, 3, 4]),
    ],
)
def test_filters_keep(options: dict[str, object], numbers: list[int]) -> None:
    assert kept(**options) == numbers


def test_each_subject_that_is_left_out_has_its_reason() -> None:
    _, gone = filtered(FOUND, filters_from_options({"skip": 4, "min_size": 50, "largest": 1}))
    assert [(one.number, one.reason) for one in gone] == [
        (2, "40 pixels is below the minimum of 50"),
        (3, "not among the 1 largest"),
        (4, "skipped"),
    ]


@given(st.lists(st.floats(1, 100), min_size=1, max_size=6), st.integers(1, 6), st.floats(0, 100))
def test_subjects_are_kept_or_left_out_never_both(sides: list[float], largest: int, least: float) -> None:
    found = numbered(region(f"face {i}", side) for i, side in enumerate(sides))
    filters = filters_from_options({"min_size": least, "largest": largest})
    remaining, gone = filtered(found, filters)
    assert sorted([one.number for one in (*remaining, *gone)]) == [one.number for one in found]
    assert len(remaining) == min(largest, sum(side >= least for side in sides))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"only": 7}, r"no subject named 7; choose one of: 1 \(face 1\)"),
        ({"skip": "fase 1"}, "no subject named 'fase 1'"),
        ({"only": True}, "only must be numbers or labels of tracks, not True"),
        ({"min_confidence": 1.2}, "min-confidence is 1.2; it must be between 0 and 1"),
        ({"min_confidence": "x"}, "min_confidence must be a number, not 'x'"),
        ({"min_size": float("nan")}, "min-size is nan"),
        ({"largest": 0}, "largest is 0; it must be at least 1"),
        ({"largest": 1.5}, "largest must be a whole number, not 1.5"),
        ({"who": [3]}, r"who must be text, not \[3\]"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(RedetailError, match=sentence):
        kept(**options)


def test_a_person_in_two_stretches_is_one_subject() -> None:
    stretches = [region("face 1", 60, person=5), region("face 2", 50), region("face 1", 80, start=9, person=5)]
    one, other = numbered(stretches)
    assert one.regions == (stretches[0], stretches[2])
    assert (one.number, one.side, other.number) == (1, 70, 2)
    assert one.meets(other)
    assert not numbered([stretches[2]])[0].meets(other)


def described(number: int, place: float, start: int = 0) -> FoundSubject:
    """A subject whose descriptor lies at a place on a line."""
    at = np.zeros(128, np.float32)
    at[0] = place
    return FoundSubject(number, (replace(region("face", 60, start=start), descriptor=at),))


def test_the_nearest_is_the_person() -> None:
    anna, ben = np.zeros(128, np.float32), np.full(128, 5, np.float32)
    both = [described(1, 0.5), described(2, 0.3)]  # in one frame: only one of them can be Anna
    assert recognised({Path("anna"): anna, Path("ben"): ben}, both) == {2: Path("anna")}
    later = [described(1, 0.5), described(2, 0.3, start=10)]
    assert recognised({Path("anna"): anna}, later) == {1: Path("anna"), 2: Path("anna")}
    assert recognised({Path("anna"): anna}, [described(1, 0.7)]) == {}
    assert recognised({Path("anna"): anna}, FOUND) == {}


def test_filters_stand_in_documents(tmp_path: Path) -> None:
    asked = {
        "only": [1, "face 2"],
        "skip": 3,
        "detector_classes": "cat",
        "min_confidence": 0.5,
        "min_size": 30,
        "only_smaller_than": 90,
        "only_softer_than": 0.7,
        "largest": 2,
        "who": "anna.png",
    }
    job = Job().overlay(source="in.mp4", **asked)
    assert [one.name for one in job.filters] == list(FILTERS)
    assert job.files == (Path("anna.png"),)
    document = job.to_document()
    again = Job.from_document(document, tmp_path)
    assert again.to_document() == document
    assert "largest = 2" in text_of(document, tmp_path / "job.toml")
    relative = Job.from_document({"source": "in.mp4", "who": ["anna.png"]}, tmp_path)
    assert relative.files == (tmp_path / "anna.png",)
    with pytest.raises(SettingsError, match="largest must be a whole number"):
        Job.from_document({"source": "in.mp4", "largest": "two"}, tmp_path)


def test_a_filter_replaces_the_one_of_its_name() -> None:
    job = Job().overlay(source="in.mp4", largest=1, skip=2)
    assert job.overlay(largest=3).filters == filters_from_options({"largest": 3, "skip": 2})
    assert laid_over(job.filters, ()) == job.filters


def test_a_subject_is_named_by_a_track_or_by_a_picture(tmp_path: Path) -> None:
    job = Job().overlay(source="in.mp4", subjects=[Subject(who="anna.png", settings={"denoise": 0.3})])
    document = job.to_document()
    assert document["subject"] == [{"who": str(Path("anna.png").resolve()), "denoise": 0.3}]
    assert Job.from_document(document, tmp_path).subjects[0].who == Path("anna.png").resolve()
    for wrong in ({}, {"track": 1, "who": "anna.png"}):
        with pytest.raises(SettingsError, match='either "track"'):
            Subject(**wrong)


def picture(path: Path, clip: str, box: tuple[int, int, int, int]) -> Path:
    x1, y1, x2, y2 = box
    Image.fromarray(np.ascontiguousarray(clip_frames(clip)[40][y1:y2, x1:x2])).save(path)
    return path


def test_who_details_only_the_person_in_the_picture(tmp_path: Path) -> None:
    right = picture(tmp_path / "right.png", "two_people", (210, 0, 350, 200))
    left = picture(tmp_path / "left.png", "two_people", (0, 0, 180, 200))
    engine, source = FakeEngine(), CLIPS / "two_people.mp4"
    planned = redetail.plan(source, who=right, end="12f", engine=engine)
    (one,) = planned.regions
    assert one.box(0).center[0] > 210
    assert [gone.reason for gone in planned.left_out] == ["not the person shown by --who"]
    assert planned.crops[0].track != planned.left_out[0].number
    subjects = [Subject(who=left, settings={"denoise": 0.11}), Subject(who=right, settings={"denoise": 0.22})]
    crops = redetail.plan(source, subjects=subjects, end="12f", engine=engine).crops
    assert {crop.region.box(0).center[0] > 210: crop.settings.denoise for crop in crops} == {False: 0.11, True: 0.22}


def test_pictures_without_one_clear_face_are_refused_before_the_search(tmp_path: Path) -> None:
    both = picture(tmp_path / "both.png", "two_people", (0, 0, 350, 350))
    wall = picture(tmp_path / "wall.png", "two_people", (0, 0, 40, 20))
    reports: list[object] = []
    for path, sentence in (
        (both, "shows 2 faces of similar size"),
        (wall, "does not show a face"),
        ("no.png", "no.png"),
    ):
        with pytest.raises(InputError, match=sentence):
            redetail.plan(CLIPS / "two_people.mp4", who=path, engine=FakeEngine(), progress=reports.append)
    assert reports == []


def test_nobody_left_is_said() -> None:
    planned = redetail.plan(np.zeros((2, 40, 60, 3), np.uint8), box=(1, 1, 20, 20), min_size=30, engine=FakeEngine())
    assert planned.regions == []
    assert planned.notices == (
        "Nothing was detailed, because every subject was left out (box: 19 pixels is below the minimum of 30).",
    )
    with pytest.raises(UnknownNameError):
        redetail.plan(np.zeros((2, 40, 60, 3), np.uint8), box=(1, 1, 20, 20), only=2, engine=FakeEngine())


def test_no_descriptor_reaches_a_file(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = redetail.detail(CLIPS / "two_people.mp4", end="6f", engine=FakeEngine(), report=report)
    descriptors = [region.descriptor for region in result.regions]
    assert all(one is not None for one in descriptors)
    assert "descriptor" not in report.read_text()
    assert "descriptor" not in str(plan_to_document(result.report.plan))
