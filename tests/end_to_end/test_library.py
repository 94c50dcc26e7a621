"""Whole runs of the library on a real clip, with an engine that is a formula."""

import gc
import json
from fractions import Fraction

import av
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import redetail
import redetail.api
from redetail.engines import FakeEngine
from redetail.settings import check_given
from redetail.video import open_source
from redetail.video.file_source import FileSource
from tests.clips import CLIPS, clip_frames


def sharpened(crops):
    """Unsharp masking with a box of 5 pixels."""
    blurred = np.mean([np.roll(crops, (dy, dx), (1, 2)) for dy in range(-2, 3) for dx in range(-2, 3)], axis=0)
    return np.clip(2 * crops - blurred, 0, 1).astype(np.float32)


def decoded(path, count=None):
    return [frame.pixels for frame in open_source(path).frames(0, count)]


SETTINGS = {"guide_size": 96, "crop_factor": 1.6, "steps": 2, "denoise": 1.0, "mask_feather": 4}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    engine = FakeEngine(sharpened, noise=0.0)
    result = redetail.detail(
        CLIPS / "guitarist.mp4",
        folder / "out.mp4",
        engine=engine,
        end="16f",
        compare=folder / "side.mp4",
        compare_layout="side",
        report=folder / "report.json",
        **SETTINGS,
    )
    return folder, result


def test_the_output_has_the_frames_size_rate_and_time_stamps_of_the_source(ran):
    folder, _ = ran
    source, output = open_source(CLIPS / "guitarist.mp4"), open_source(folder / "out.mp4")
    assert output.info.size == source.info.size
    assert output.info.rate == source.info.rate
    assert output.info.time_base == source.info.time_base
    taken = [frame.pts for frame in source.frames(0, 16)]
    assert [frame.pts for frame in output.frames()] == taken


def test_the_report_tells_what_was_done(ran):
    folder, result = ran
    report = json.loads((folder / "report.json").read_text())
    assert report == json.loads(json.dumps(result.report.to_document()))
    (region,) = report["regions"]
    assert region["label"] == "face 1"
    assert len(region["boxes"]) == len(region["window_path"]) == 16
    assert report["settings"]["steps"] == 2
    written = report["untouched"].pop("as_written")
    assert report["untouched"] == {"frames": 16, "changed_pixels_outside_masks": 0}
    assert written["frames"] > 0
    assert 0 < written["mean"] < 3  # levels that the codec changed
    assert set(report["passes"]) == {"detect", "crop", "detail", "write"}
    measured = region["measured"]
    assert measured["mean_change"] > 1
    assert measured["window_acceleration"] < 0.25 * measured["subject_acceleration"]


def test_only_the_face_changed(ran):
    folder, result = ran
    before, after = decoded(CLIPS / "guitarist.mp4", 16), decoded(folder / "out.mp4")
    (region,) = result.regions
    for index in range(16):
        window = region.window(index)
        outside = np.ones(before[index].shape[:2], bool)
        outside[int(window.y1) : int(window.y2) + 1, int(window.x1) : int(window.x2) + 1] = False
        # What is left outside the window is the encoder's own loss: a level or so at its default quality.
        assert np.abs(before[index].astype(int) - after[index])[outside].mean() < 2.0


def test_the_comparison_shows_both(ran):
    folder, _ = ran
    with av.open(folder / "side.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 16
    assert frames[0].shape == (350, 704, 3)


@pytest.mark.parametrize("threads", [1, 2])
def test_stages_alone_do_what_the_whole_does(threads):
    frames = np.stack(clip_frames("guitarist")[:8])
    engine = FakeEngine(sharpened, noise=0.0)
    with threadpool_limits(threads, "blas"):  # products that it splits over threads are rounded differently
        detections = redetail.detect(frames)
        regions = redetail.track(detections, (350, 350), crop_factor=1.6)
        crops = redetail.enhance(frames, regions, engine=engine, **SETTINGS)
        pasted = redetail.paste(frames, regions, crops)
    whole = redetail.detail(frames, engine=engine, **SETTINGS)
    np.testing.assert_array_equal(pasted, whole.frames)
    assert whole.frames.dtype == np.uint8
    assert (whole.frames != frames).any()


def test_nobody_found_gives_the_very_same_file(tmp_path):
    clip = tmp_path / "sky.mp4"
    write_grey(clip)
    result = redetail.detail(clip, tmp_path / "out.mp4", engine=FakeEngine())
    assert (tmp_path / "out.mp4").read_bytes() == clip.read_bytes()
    assert result.regions == []
    assert any("No face was found" in notice for notice in result.notices)


def test_a_given_box_is_detailed_in_every_frame():
    frames = np.full((5, 64, 64, 3), 100, np.uint8)
    engine = FakeEngine(noise=0.0)
    result = redetail.detail(
        frames, engine=engine, box=(16, 16, 48, 48), paste_feather=0, color_match=False, **SETTINGS
    )
    assert (result.frames[:, 30:34, 30:34] > 140).all()
    assert (result.frames[:, :8] == 100).all()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_equal_seeds_give_equal_frames(depth):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, np.iinfo(depth).max, (4, 64, 64, 3), dtype=depth)
    options = {"engine": FakeEngine(noise=0.2), "box": (16, 16, 48, 48), **SETTINGS}
    first, second, other = (redetail.detail(frames, seed=seed, **options).frames for seed in (1, 1, 2))
    assert first.dtype == depth
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_cancelling_leaves_nothing(tmp_path):
    token = redetail.CancelToken()

    def stop_while_detailing(report):
        if report.stage == "detail":
            token.cancel()

    with pytest.raises(redetail.Cancelled):
        redetail.detail(
            CLIPS / "guitarist.mp4",
            tmp_path / "out.mp4",
            engine=FakeEngine(),
            end="6f",
            progress=stop_while_detailing,
            cancel=token,
            **SETTINGS,
        )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_lists_those_that_exist():
    with pytest.raises(redetail.UnknownNameError, match="no setting named 'stepz'"):
        redetail.detail(np.zeros((1, 64, 64, 3), np.uint8), engine=FakeEngine(), stepz=3)


def test_an_unknown_sampler_is_refused_before_the_clip_is_searched():
    calls = []
    with pytest.raises(redetail.UnknownNameError, match="no sampler named 'eular'"):
        redetail.detail(
            CLIPS / "guitarist.mp4", engine=FakeEngine(), sampler="eular", progress=lambda report: calls.append(report)
        )
    assert calls == []


def write_grey(path):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(10))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


FRAMES = np.full((2, 40, 60, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("box", "number"),
    [
        ((5, 5, 30, 30), 1),
        (redetail.Box(5, 5, 30, 30), 1),
        ([[5, 5, 30, 30], redetail.Box(1, 1, 20, 20)], 2),
        (np.array([5, 5, 30, 30]), 1),
        (np.array([[5, 5, 30, 30], [1, 1, 20, 20]]), 2),
    ],
)
def test_boxes_come_in_many_forms(box, number):
    assert len(redetail.plan(FRAMES, box=box, engine=FakeEngine()).regions) == number


@pytest.mark.parametrize("box", [(1, 2, 3), "1,2,3,4", "1234", 5, [(1, 2, 3, 4), (1, 2)], np.zeros((1, 1, 4))])
def test_what_is_no_box_is_refused(box):
    with pytest.raises(redetail.RegionError, match="give four numbers x1, y1, x2, y2 for one box, or a list of boxes"):
        redetail.plan(FRAMES, box=box, engine=FakeEngine())


@pytest.mark.parametrize(
    "given", [{"model": "sd.safetensors"}, {"device": "cpu"}, {"memory": redetail.Memory(offload=True)}]
)
def test_what_a_given_engine_would_leave_out_is_refused(given):
    with pytest.raises(redetail.SettingsError, match=f"^An engine already has its own {next(iter(given))}; pass"):
        redetail.detail(FRAMES, box=(5, 5, 30, 30), engine=FakeEngine(), **given)


def test_a_mask_of_no_picture_is_refused():
    with pytest.raises(redetail.RegionError, match=r"The mask has the shape \(40,\); it must be \(height, width\)"):
        redetail.detail(FRAMES, mask=np.ones(40), engine=FakeEngine())


def test_a_setting_of_a_subject_that_cannot_be_is_told_with_the_subject():
    subjects = [redetail.Subject("box", settings={"steps": 0})]
    with pytest.raises(redetail.SettingsError, match="Subject box: steps is 0; it must be between 1 and 10000"):
        redetail.detail(FRAMES, box=(5, 5, 30, 30), engine=FakeEngine(), subjects=subjects)


@pytest.mark.parametrize(
    "asked",
    [{"steps": 0}, {"promt": "a"}, {"preset": "quick"}, {"subjects": [redetail.Subject(1, settings={"cfg": "a"})]}],
)
def test_settings_that_no_engine_has_are_refused_before_one_is_loaded(monkeypatch, asked):
    monkeypatch.setattr(redetail.api, "load_engine", lambda *given, **more: pytest.fail("an engine was loaded"))
    for work in (redetail.detail, redetail.plan):
        with pytest.raises(redetail.SettingsError):
            work(FRAMES, box=(5, 5, 30, 30), **asked)


def test_settings_that_only_an_engine_can_judge_wait_for_it():
    """A window as short as the usual overlap is not a mistake where the engine's own overlap is shorter."""
    check_given({"context_length": 4}, {})
    with pytest.raises(redetail.SettingsError, match="context-overlap is 4"):
        redetail.Settings(context_length=4)


def test_an_enlarged_output_keeps_time_stamps_and_shape_and_changes_the_subject_only(tmp_path):
    engine = FakeEngine(sharpened, noise=0.0)
    outputs = {"compare": tmp_path / "side.mp4", "compare_layout": "side", "report": tmp_path / "report.json"}
    clip = CLIPS / "guitarist.mp4"
    result = redetail.detail(clip, tmp_path / "out.mp4", engine=engine, end="6f", scale=1.5, **outputs, **SETTINGS)
    source, output = open_source(clip), open_source(tmp_path / "out.mp4")
    assert output.info.size == redetail.Size(524, 524)  # 525, made even
    assert open_source(tmp_path / "side.mp4").info.size.height == 524
    assert output.info.pixel_aspect == source.info.pixel_aspect
    assert [frame.pts for frame in output.frames()] == [frame.pts for frame in source.frames(0, 6)]
    assert result.report.untouched.changed_pixels == 0
    assert result.report.regions[0].mean_change > 0.5


def test_where_nothing_is_found_the_output_is_still_enlarged(tmp_path):
    engine, grey = FakeEngine(), np.full((2, 40, 60, 3), 90, np.uint8)
    result = redetail.detail(grey, engine=engine, scale=2)
    np.testing.assert_array_equal(result.frames, np.full((2, 80, 120, 3), 90, np.uint8))


def test_a_short_clip_is_decoded_once(monkeypatch, tmp_path):
    passes, own = [], FileSource._decoding
    monkeypatch.setattr(FileSource, "_decoding", lambda self, *span: passes.append(self.info.path) or own(self, *span))
    redetail.detail(CLIPS / "guitarist.mp4", tmp_path / "out.mp4", engine=FakeEngine(), end="8f", **SETTINGS)
    assert passes.count(CLIPS / "guitarist.mp4") == 1  # the output is read, too, to judge its encoding


@pytest.fixture
def uncollected():
    """Collects what is garbage now and stops collecting; gives what only a collection would free since then."""

    def collect():
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return gc.garbage

    gc.collect()
    gc.disable()
    yield collect
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("load", [FakeEngine, lambda: redetail.load_engine(device="cpu")], ids=["fake", "bundled"])
def test_a_run_holds_nothing_until_the_next_collection(load, uncollected, tmp_path):
    # With this many objects Python seldom looks for cycles, and crops and masks in them add up over a long clip.
    outputs = {"compare": tmp_path / "compare.mp4", "report": tmp_path / "report.json"}
    small = {"guide_size": 64, "max_size": 64, "steps": 1}
    redetail.detail(CLIPS / "guitarist.mp4", tmp_path / "out.mp4", engine=load(), end="4f", **small, **outputs)
    own = {getattr(one, "__module__", None) or type(one).__module__ for one in uncollected()}
    assert not [name for name in own if name.startswith("redetail")]
