"""Hints in the pipeline: cropped like the frames, checked against them, given to the engine, saved."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from redetail.engines.fake import FakeEngine
from redetail.errors import Cancelled, InputError, OutputError, SettingsError
from redetail.imaging import resample
from redetail.imaging.hints import make_hint
from redetail.pipeline.hints import HintFolder, HintFrames, hint_names_of, open_hints, save_hints
from redetail.pipeline.run import Run
from redetail.progress import CancelToken
from redetail.video import array_source, open_source
from redetail.video.folder_sink import png
from tests.pipeline.plans import FRAME, SETTINGS, WORKING, clip, crop_plan, plan_of, region

INFO = array_source(np.zeros((9, 40, 60, 3), np.uint8)).info


def cropped(source, first=2, last=7):
    """What a drifting window shows of the hints of frames ``first`` to ``last``."""
    hints, subject = HintFrames("depth.mp4", source, FRAME, first, last), region(5)
    return np.stack([hints.crop(index, subject.window(index - first), WORKING) for index in range(first, last)])


def test_hints_are_cropped_exactly_like_the_frames():
    expected = [resample.crop(clip(9)[index], region(5).window(index - 2), WORKING) for index in range(2, 7)]
    np.testing.assert_array_equal(cropped(array_source(clip(9))), expected)


def test_hints_of_another_size_show_the_same_place():
    small, large = (cropped(array_source(clip(9, 40 * k, 60 * k))) for k in (1, 3))
    np.testing.assert_allclose(small, large, atol=0.03)  # the same waves, sampled at other points


def test_too_few_hints_are_counted_before_anything_is_detailed():
    message = r"There are only 6 hints in depth.mp4, but 7 are needed; give one hint"
    with pytest.raises(InputError, match=message):
        HintFrames("depth.mp4", array_source(clip(6)), FRAME, 2, 7)
    assert cropped(array_source(clip(7))).any()


def pictures(folder, frames):
    folder.mkdir()
    for index, frame in enumerate(frames):
        (folder / f"{index:03d}.png").write_bytes(png(frame))
    return folder


def test_folders_are_opened_and_computed_hints_are_not(tmp_path):
    folder = pictures(tmp_path / "depth", clip(9))
    opened = open_hints(["canny", str(folder), "tile", str(folder)], open_source(folder).info)
    assert list(opened) == [str(folder)]
    assert len(list(opened[str(folder)].frames())) == 9


def test_a_hint_that_does_not_exist_lists_those_that_can_be_computed():
    with pytest.raises(InputError, match=r"The hint 'cany' is neither a kind that can be computed \(canny, lineart"):
        open_hints(["cany"], INFO)


def test_hints_of_another_shape_are_refused_and_another_number_is_said(tmp_path, caplog):
    folder = pictures(tmp_path / "depth", clip(8, 40, 80))
    with pytest.raises(InputError, match="are 80x40 pixels, but the frames are 60x40; hints can have any size"):
        open_hints([str(folder)], INFO)
    other = pictures(tmp_path / "other", clip(8))
    with caplog.at_level(logging.WARNING):
        open_hints([str(other)], INFO)
    assert caplog.messages == [f"{other} has 8 frames, but the clip has 9; hint n is used for frame n."]


def test_a_folder_that_is_called_like_a_hint_is_meant_with_its_path(tmp_path, caplog, monkeypatch):
    pictures(tmp_path / "canny", clip())
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert open_hints(["canny"], INFO) == {}
    assert "to use the file or folder of that name, give ./canny" in caplog.text
    assert list(open_hints(["./canny"], INFO)) == ["./canny"]


class Shown(FakeEngine):
    """Notes the hints that it is given; ``names`` are those that it asks for."""

    def __init__(self, *names):
        super().__init__(noise=0)
        self.given = []
        self._capabilities = replace(self.capabilities, hints=names)

    def run(self, request):
        hints = {name: hint.all() for name, hint in request.hints.items()}
        self.given.append((request.first_frame, request.crops.all(), hints))
        super().run(request)


def ran(engine, plan, folder=None, frames=30, **options):
    run = Run(array_source(clip(frames)), engine, SETTINGS, save_hints=folder, **options)
    with run.enhanced(plan):
        assert folder is None or not folder.exists()


def test_the_engine_gets_the_hints_of_each_stretch_padded_like_its_crops(tmp_path):
    depth = str(pictures(tmp_path / "depth", 255 - clip(30)))
    engine, plan = Shown(depth), plan_of(crop_plan(28, most=18))
    ran(engine, plan)
    assert [first for first, _, _ in engine.given] == [0, 10]
    for _, crops, hints in engine.given:
        assert hints[depth].shape == crops.shape == (18, 32, 40, 3)
        np.testing.assert_allclose(hints[depth], 1 - crops, atol=1e-4)  # 16 bits on disk


def test_without_files_the_engine_computes_its_hints_itself():
    engine = Shown("canny")
    ran(engine, plan_of(crop_plan(3)))
    assert engine.given[0][2] == {}


def test_reading_hints_can_be_cancelled(tmp_path):
    token, engine = CancelToken(), Shown(str(pictures(tmp_path / "depth", clip(30))))
    token.cancel()
    with pytest.raises(Cancelled):
        ran(engine, plan_of(crop_plan(3)), cancel=token)
    assert engine.given == []


def test_what_the_engine_was_shown_is_saved_once_for_each_frame(tmp_path):
    depth = pictures(tmp_path / "maps", 255 - clip(31)).rename(tmp_path / "depth")
    engine, plan = Shown("tile", str(depth)), plan_of(crop_plan(28, start=2, most=18))
    ran(engine, plan, tmp_path / "hints")
    files = sorted(path.name for path in (tmp_path / "hints").iterdir())
    expected = [f"face_1-{name}-{frame:06d}.png" for name in ("depth", "tile") for frame in range(3, 31)]
    assert files == expected
    crops = [resample.crop(clip(31)[2 + index], plan.regions[0].window(index), WORKING) for index in range(28)]
    for name, shown in (("tile", np.stack(crops)), ("depth", 1 - np.stack(crops))):
        named = [file for file in files if f"-{name}-" in file]
        saved = [frame.pixels for file in named for frame in open_source(tmp_path / "hints" / file).frames()]
        np.testing.assert_allclose(np.stack(saved) / 255, shown, atol=0.6 / 255)
    # The engine was given what was saved, so that it is not computed twice.
    _, padded, hints = engine.given[0]
    np.testing.assert_array_equal(hints["tile"], make_hint("tile", padded))


def test_subjects_and_hints_that_are_called_alike_do_not_overwrite_one_another():
    """Two boxes are both called "box", and two videos of hints may have the same name in different folders."""
    crops = [crop_plan(5, label="box", track=track) for track in (1, 2)]
    assert hint_names_of(crops, ["canny", "a/canny.mp4", "canny"]) == [
        {"canny": "box-canny", "a/canny.mp4": "box-canny_2"},
        {"canny": "box_2-canny", "a/canny.mp4": "box_2-canny_2"},
    ]


def test_saved_pictures_count_the_frames_of_the_clip_from_one(tmp_path):
    save_hints(tmp_path, "box-tile", np.full((2, 8, 8, 3), 0.2, np.float32), 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box-tile-000005.png", "box-tile-000006.png"]
    assert next(open_source(tmp_path / "box-tile-000005.png").frames()).pixels[0, 0, 0] == 51


def test_nothing_is_left_of_saved_hints_after_a_failure(tmp_path):
    run = Run(array_source(clip(9)), Shown("canny"), SETTINGS, save_hints=tmp_path / "hints")

    def fail():
        with run.enhanced(plan_of(crop_plan(5))):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; give a new folder"):
        HintFolder(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_run_reads_crops_and_saves_the_hints_of_every_subject(tmp_path):
    folder = str(pictures(tmp_path / "depth", clip(9)))
    engine, crops = Shown("canny", folder), [crop_plan(5, start=2), crop_plan(3, start=4, label="face 2", track=2)]
    ran(engine, plan_of(*crops), tmp_path / "shown", 9)
    names = sorted(path.name for path in (tmp_path / "shown").iterdir())
    assert len(names) == 2 * (5 + 3)
    assert names[0] == "face_1-canny-000003.png"
    assert names[-1] == "face_2-depth-000007.png"
    for (_, padded, hints), crop in zip(engine.given, crops, strict=True):
        assert len(padded) == len(crop.region)
        assert set(hints) == {"canny", folder}
        # The hints are the clip itself, so what is shown of them is what is shown of the clip.
        np.testing.assert_array_equal(hints[folder], padded)


def test_a_run_refuses_hints_that_cannot_be_before_it_searches(tmp_path):
    source = array_source(clip(9))
    with pytest.raises(InputError, match=r"The hint 'pose.mp4' is neither"):
        Run(source, Shown("pose.mp4"), SETTINGS)
    with pytest.raises(SettingsError, match=r"There are no hints to save in .*, because the model has no ControlNet"):
        Run(source, Shown(), SETTINGS, save_hints=tmp_path / "shown")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="is not empty"):
        Run(source, Shown("canny"), SETTINGS, save_hints=tmp_path)
