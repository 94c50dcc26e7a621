"""Hints in the pipeline: cropped like the frames, checked against them, given to the engine, saved."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from redetail.engines.fake import FakeEngine
from redetail.errors import Cancelled, InputError, OutputError, SettingsError
from redetail.geometry.padding import Padding
from redetail.imaging.hints import make_hint
from redetail.pipeline.enhance import enhance_region, spool_crops
from redetail.pipeline.hints import HintFolder, RegionHints, open_hints, spool_hints
from redetail.pipeline.plan import CropPlan
from redetail.pipeline.run import Run
from redetail.pipeline.spool import Spool
from redetail.pipeline.stretches import split
from redetail.progress import CancelToken
from redetail.region import Region, Size
from redetail.settings import Settings
from redetail.video import array_source, open_source
from redetail.video.folder_sink import png

WORKING = Size(36, 28)
SETTINGS = Settings(steps=2, denoise=1, mask_feather=0, color_match=False)
INFO = array_source(np.zeros((9, 40, 60, 3), np.uint8)).info


def planned(frames=5, start=2, most=600):
    path = np.stack([np.linspace(3, 9, frames), np.linspace(4, 5, frames)], axis=1)
    boxes = np.concatenate([path + 4, path + np.array([14, 10])], axis=1)
    region = Region("face 1", 0.9, start, Size(18, 14), path, boxes)
    return CropPlan(region, WORKING, Padding.to_multiple(WORKING, 8), stretches=tuple(split(frames, most, 16, 4)))


def clip(frames=9, height=40, width=60):
    """Frames that differ, smooth enough to be scaled."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(5 * x + index) + np.cos(4 * y) for index in range(frames)]
    return np.rint((np.stack([waves] * 3, -1) / 4 + 0.5) * 255).astype(np.uint8)


def spooled(source, tmp_path, **options):
    plan = planned()
    shape = (len(plan.region), *plan.working.shape, 3)
    with Spool([shape], tmp_path) as spool:
        store = spool.store("hint", shape)
        spool_hints("depth.mp4", source, [plan], [store], INFO, **options)
        return store.read(0, len(store))


def test_hints_are_cropped_exactly_like_the_frames(tmp_path):
    plan = planned()
    shape = (5, *WORKING.shape, 3)
    with Spool([shape], tmp_path) as spool:
        store = spool.store("frames", shape)
        spool_crops(array_source(clip()).frames(), [plan], [store])
        expected = store.read(0, 5)
    np.testing.assert_array_equal(spooled(array_source(clip()), tmp_path), expected)


def test_hints_of_another_size_show_the_same_place(tmp_path):
    small, large = (spooled(array_source(clip(9, 40 * k, 60 * k)), tmp_path) for k in (1, 3))
    np.testing.assert_allclose(small, large, atol=0.03)  # the same waves, sampled at other points


def test_too_few_hints_are_counted(tmp_path):
    message = r"The hints in depth.mp4 end after 6 frames, but frames up to 7 are detailed; give one hint"
    with pytest.raises(InputError, match=message):
        spooled(array_source(clip(6)), tmp_path)
    assert spooled(array_source(clip(7)), tmp_path).any()


def test_reading_hints_can_be_cancelled(tmp_path):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        spooled(array_source(clip()), tmp_path, cancel=token)


def pictures(folder, frames):
    folder.mkdir()
    for index, frame in enumerate(frames):
        (folder / f"{index:03d}.png").write_bytes(png(frame))
    return folder


def test_folders_are_opened_and_computed_hints_are_not(tmp_path):
    folder = pictures(tmp_path / "depth", clip())
    opened = open_hints(["canny", str(folder), "tile", str(folder)], open_source(folder).info)
    assert list(opened) == [str(folder)]
    assert len(list(opened[str(folder)].frames())) == 9


def test_a_hint_that_does_not_exist_lists_those_that_can_be_computed():
    with pytest.raises(InputError, match=r"The hint 'cany' is neither one that can be computed \(canny, lineart"):
        open_hints(["cany"], INFO)


def test_hints_of_another_shape_are_refused_and_another_number_is_said(tmp_path, caplog):
    folder = pictures(tmp_path / "depth", clip(8, 40, 80))
    with pytest.raises(InputError, match="are 80x40 pixels, the frames 60x40; hints show whole frames"):
        open_hints([str(folder)], INFO)
    other = pictures(tmp_path / "other", clip(8))
    with caplog.at_level(logging.WARNING):
        open_hints([str(other)], INFO)
    assert caplog.messages == [
        f"{other} has 8 frames, the clip 9; the first hint is taken for the first frame, and so on."
    ]


class Shown(FakeEngine):
    """Notes the hints that it is given."""

    def __init__(self):
        super().__init__(noise=0)
        self.given = []

    def run(self, request):
        hints = {name: hint.all() for name, hint in request.hints.items()}
        self.given.append((request.first_frame, request.crops.all(), hints))
        super().run(request)


def enhanced(engine, tmp_path, frames, names=(), folder=None, depth=None):
    plan = planned(frames, most=18)
    shape = (frames, *WORKING.shape, 3)
    with Spool([shape] * 3, tmp_path) as spool:
        before, hints = (spool.store(name, shape) for name in ("before", "hints"))
        results = [spool.store(f"after-{one.start}", (len(one), *shape[1:])) for one in plan.stretches]
        before.write(0, np.random.default_rng(1).random(shape, np.float32))
        stores = {}
        if depth is not None:
            hints.write(0, depth)
            stores = {"maps/depth.mp4": hints}
        shown = RegionHints(tuple(names), stores, folder)
        enhance_region(plan, before, results, engine, SETTINGS, hints=shown)
        return before.read(0, frames)


def test_the_engine_gets_the_hints_of_each_stretch_padded_like_its_crops(tmp_path):
    engine, depth = Shown(), np.random.default_rng(2).random((28, *WORKING.shape, 3), np.float32)
    enhanced(engine, tmp_path, 28, depth=depth)
    assert len(engine.given) > 1
    for first, crops, hints in engine.given:
        (hint,) = hints.values()
        assert hint.shape == crops.shape == (16, 32, 40, 3)
        np.testing.assert_allclose(hint[:, 2:30, 2:38], depth[first : first + 16], atol=1e-5)  # 16 bits on disk


def test_without_files_the_engine_computes_its_hints_itself(tmp_path):
    engine = Shown()
    enhanced(engine, tmp_path, 3, ["canny"])
    assert engine.given[0][2] == {}


def test_what_the_engine_was_shown_is_saved_once_for_each_frame(tmp_path):
    engine, depth = Shown(), np.random.default_rng(2).random((28, *WORKING.shape, 3), np.float32)
    with HintFolder(tmp_path / "hints") as folder:
        crops = enhanced(engine, tmp_path, 28, ["tile", "maps/depth.mp4"], folder, depth)
        assert not (tmp_path / "hints").exists()
    files = sorted(path.name for path in (tmp_path / "hints").iterdir())
    expected = [f"face_1-{name}-{frame:06d}.png" for name in ("depth", "tile") for frame in range(3, 31)]
    assert files == expected
    for name, pixels in (("tile", crops), ("depth", depth)):
        saved = [
            frame.pixels
            for file in files
            if f"-{name}-" in file
            for frame in open_source(tmp_path / "hints" / file).frames()
        ]
        np.testing.assert_allclose(np.stack(saved) / 255, pixels, atol=0.6 / 255)
    # The engine was given what was saved, so that it is not computed twice.
    _, shown, hints = engine.given[0]
    np.testing.assert_array_equal(hints["tile"], make_hint("tile", shown))


def test_subjects_and_hints_that_are_called_alike_do_not_overwrite_one_another(tmp_path):
    """Two boxes are both called "box", and two videos of hints may have the same name in different folders."""
    box = replace(planned(), region=replace(planned().region, label="box"))
    with HintFolder(tmp_path / "hints") as folder:
        for shade, (track, name) in enumerate((track, name) for track in (1, 2) for name in ("canny", "a/canny.mp4")):
            folder.write(replace(box, track=track), name, 0, np.full((1, 8, 8, 3), shade / 255, np.float32))
    shades = {path.name: next(open_source(path).frames()).pixels[0, 0, 0] for path in (tmp_path / "hints").iterdir()}
    assert shades == {
        "box-canny-000001.png": 0,
        "box-canny_2-000001.png": 1,
        "box_2-canny-000001.png": 2,
        "box_2-canny_2-000001.png": 3,
    }


def test_nothing_is_left_of_saved_hints_after_a_failure(tmp_path):
    def fail():
        with HintFolder(tmp_path / "hints") as folder:
            folder.write(planned(), "canny", 0, np.zeros((1, 8, 8, 3), np.float32))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty; give a new folder"):
        HintFolder(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def with_hints(*names):
    engine = Shown()
    engine._capabilities = replace(engine.capabilities, hints=names)
    return engine


def test_a_run_reads_crops_and_saves_the_hints_of_every_subject(tmp_path):
    folder, engine = pictures(tmp_path / "depth", clip()), with_hints("canny", str(tmp_path / "depth"))
    regions = [planned(5, 2).region, replace(planned(3, 4).region, label="face 2")]
    run = Run(array_source(clip()), engine, SETTINGS, save_hints=tmp_path / "shown")
    with run.enhanced(run.plan_of(regions)):
        assert not (tmp_path / "shown").exists()
    names = sorted(path.name for path in (tmp_path / "shown").iterdir())
    assert len(names) == 2 * (5 + 3)
    assert names[0] == "face_1-canny-000003.png"
    assert names[-1] == "face_2-depth-000007.png"
    for (_, crops, hints), region in zip(engine.given, regions, strict=True):
        assert len(crops) == len(region)
        assert set(hints) == {"canny", str(folder)}
        # The hints are the clip itself, so what is shown of them is what is shown of the clip.
        np.testing.assert_array_equal(hints[str(folder)], crops)


def test_a_run_refuses_hints_that_cannot_be_before_it_searches(tmp_path):
    source = array_source(clip())
    with pytest.raises(InputError, match=r"The hint 'pose.mp4' is neither"):
        Run(source, with_hints("pose.mp4"), SETTINGS)
    with pytest.raises(SettingsError, match=r"There are no hints to save in .*: the model has no ControlNet"):
        Run(source, with_hints(), SETTINGS, save_hints=tmp_path / "shown")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="is not empty"):
        Run(source, with_hints("canny"), SETTINGS, save_hints=tmp_path)
