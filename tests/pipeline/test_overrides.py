"""Settings of single subjects."""

import numpy as np
import pytest

from redetail.engines import FakeEngine
from redetail.errors import SettingsError, UnknownNameError
from redetail.job import Subject
from redetail.pipeline.overrides import check_subjects, region_settings
from redetail.pipeline.run import Run
from redetail.region import Region, Size
from redetail.selection.subjects import numbered
from redetail.settings import Settings

BASE = Settings(prompt="a face", denoise=0.4, steps=8)


def region(label):
    return Region(label, 0.9, 0, Size(8, 8), np.zeros((1, 2)), np.array([[1.0, 1, 5, 5]]))


FOUND = numbered([region("face 1"), region("face 2"), region("box")])


def test_without_entries_all_are_detailed_alike():
    detailed = region_settings(FOUND, (), BASE)
    assert [(one.region.label, one.track, one.settings) for one in detailed] == [
        ("face 1", 1, BASE),
        ("face 2", 2, BASE),
        ("box", 3, BASE),
    ]


def test_numbers_and_labels_name_a_subject():
    subjects = [Subject(2, settings={"prompt": "a man"}), Subject("box", settings={"denoise": 0.7, "seed": 5})]
    settings = [one.settings for one in region_settings(FOUND, subjects, BASE)]
    assert [one.prompt for one in settings] == ["a face", "a man", "a face"]
    assert [one.denoise for one in settings] == [0.4, 0.4, 0.7]
    assert [one.steps for one in settings] == [8, 8, 8]


def test_a_subject_that_is_skipped_keeps_its_number():
    assert [one.track for one in region_settings(FOUND, [Subject("face 1", skip=True)], BASE)] == [2, 3]


def test_later_entries_win():
    subjects = [Subject(1, settings={"steps": 3, "seed": 1}), Subject("face 1", settings={"steps": 4})]
    settings = region_settings(FOUND, subjects, BASE)[0].settings
    assert (settings.steps, settings.seed) == (4, 1)


@pytest.mark.parametrize("track", [0, 4, "face 3", "Face 1"])
def test_a_subject_that_was_not_found_lists_those_that_were(track):
    with pytest.raises(UnknownNameError) as caught:
        region_settings(FOUND, [Subject(track)], BASE)
    assert str(caught.value).endswith("hoose one of: 1 (face 1), 2 (face 2), 3 (box).")
    assert f"There is no subject named {track!r}" in str(caught.value)
    with pytest.raises(UnknownNameError, match="there are none to choose from"):
        region_settings([], [Subject(track)], BASE)


def test_windows_are_chosen_before_subjects_are_known():
    with pytest.raises(SettingsError, match="Subject 2 sets crop-factor, but all subjects share one value"):
        Subject(2, settings={"crop_factor": 2.0})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sampler": "eular"}, "no sampler named 'eular'"),
        ({"denoise": 2}, "denoise is 2"),
        ({"stepz": 2}, "no setting named 'stepz'"),
        ({"loras": ["a.safetensors"]}, "does not support LoRA files such as a.safetensors"),
    ],
)
def test_what_a_subject_cannot_have_is_known_before_the_search(settings, sentence):
    with pytest.raises(SettingsError, match=sentence):
        check_subjects([Subject(1, settings=settings)], BASE, FakeEngine())


def test_what_an_engine_refuses_of_any_subject_is_told_before_the_clip_is_read():
    class Choosy(FakeEngine):
        def check(self, settings):
            if settings.prompt == "a ghost":
                raise SettingsError("No ghosts.")

    class Unread:
        info = None

    subjects = [Subject(1, settings={"prompt": "a ghost"})]
    Run(Unread(), Choosy(), BASE)
    with pytest.raises(SettingsError, match="No ghosts"):
        Run(Unread(), Choosy(), BASE, subjects=subjects)
    with pytest.raises(SettingsError, match="No ghosts"):
        Run(Unread(), Choosy(), Settings(prompt="a ghost"))
    Run(Unread(), FakeEngine(), BASE, subjects=subjects)


def test_what_only_the_engine_refuses_is_told_with_the_subject():
    class Strict(FakeEngine):
        def check(self, settings):
            if settings.seed == 7:
                raise SettingsError("seven is refused.")

    check_subjects([Subject(1, settings={"seed": 6})], BASE, Strict())
    with pytest.raises(SettingsError, match=r"^Subject face 2: seven is refused\.$"):
        check_subjects([Subject("face 2", settings={"seed": 7})], BASE, Strict())


def sized(label, side):
    return Region(label, 0.9, 0, Size(8, 8), np.zeros((1, 2)), np.array([[1.0, 1, 1 + side, 1 + 2 * side]]))


def test_denoise_by_size_is_that_of_each_subject_and_gives_way_to_its_own():
    found = numbered(sized("face", side) for side in (10, 30, 75, 200, 200, 200))
    base = Settings(denoise=0.4, denoise_by_size="30:1.0,120:0.4")
    own = [Subject(5, settings={"denoise": 0.7}), Subject(6, settings={"denoise_by_size": "10:0.2", "denoise": 0.9})]
    denoise = [one.settings.denoise for one in region_settings(found, own, base)]
    assert denoise == pytest.approx([1.0, 1.0, 0.7, 0.4, 0.7, 0.2])
    assert [one.settings.denoise for one in region_settings(found, (), Settings(denoise=0.4))] == [0.4] * 6
