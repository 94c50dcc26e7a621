"""``Job``: made of options, laid over one another, compared, written."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import redetail
from redetail.engines.architectures.stable_diffusion import PRESETS
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec
from redetail.errors import InputError, RedetailError, SettingsError
from redetail.job import Job, RequestedSettings, Subject
from redetail.region import Box
from redetail.selection.boxes import BoxSelection
from redetail.settings import Settings, resolve
from redetail.video.options import EncodeOptions
from redetail.video.span import Span


def test_options_are_the_keywords_of_detail():
    job = Job().overlay(source="in.mp4", output="~/out.mp4", box=(1, 2, 3, 4), start="1f", model="sd.ckpt", steps=3)
    assert job == Job(
        source=Path("in.mp4"),
        output=Path("~/out.mp4").expanduser(),
        selection=(BoxSelection((Box(1, 2, 3, 4),)),),
        span=Span("1f"),
        model=ModelSpec(checkpoint="sd.ckpt"),
        settings={"steps": 3},
    )


def test_equal_jobs_have_equal_hashes():
    first, second = (
        Job().overlay(source="in.mp4", mask="m.png", loras=["a"], subjects=[Subject(1, settings={"loras": ["b"]})])
        for _ in range(2)
    )
    assert first == second
    assert hash(first) == hash(second)
    assert first != first.overlay(seed=1)


def test_objects_in_memory_are_equal_to_themselves_only():
    frames = redetail.video.array_source(np.zeros((1, 8, 8, 3), np.uint8))
    mask = np.ones((8, 8))
    assert Job(source=frames).overlay(mask=mask) == Job(source=frames).overlay(mask=mask)
    assert Job(source=frames).overlay(mask=mask) != Job(source=frames).overlay(mask=mask.copy())


def test_none_leaves_a_value_as_it_is():
    job = Job().overlay(source="in.mp4", start=1, model="a", steps=3, box=(1, 2, 3, 4))
    assert job.overlay(source=None, start=None, model=None, steps=None, box=None) == job


def test_fields_of_parts_are_laid_over_those_of_the_job():
    job = Job().overlay(start=1, end=5, model=ModelSpec(checkpoint="a", vae="v"), memory=Memory(dtype="float32"))
    job = job.overlay(end=9, model={"checkpoint": "b"}, memory={"vae_tile": 64}, encode={"lossless": True})
    assert job.span == Span(1, 9)
    assert job.model == ModelSpec(checkpoint="b", vae="v")
    assert job.memory == Memory(dtype="float32", vae_tile=64)
    assert job.encode == EncodeOptions(lossless=True)
    assert job.overlay(model="c").model == ModelSpec(checkpoint="c")


def test_a_preset_is_over_the_settings_of_the_job_and_of_its_subjects():
    job = Job(settings={"steps": 30, "seed": 1}, subjects=(Subject(1, settings={"steps": 12, "seed": 7}),))
    job = job.overlay(preset="lcm", cfg=1.2)
    assert resolve(job.settings, {}, PRESETS) == Settings(**{**PRESETS["lcm"], "cfg": 1.2, "seed": 1})
    assert job.subjects == (Subject(1, settings={"seed": 7}),)


def test_the_preset_of_a_job_gives_way_to_what_is_laid_over_it():
    job = Job(settings={"preset": "quality", "steps": 9}).overlay(cfg=3)
    assert resolve(job.settings, {}, PRESETS) == Settings(**{**PRESETS["quality"], "steps": 9, "cfg": 3})


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.sampled_from(sorted(PRESETS)),
        "steps": st.integers(1, 50),
        "cfg": st.floats(1, 9),
        "seed": st.integers(0, 9),
    },
)


@given(SETTINGS, SETTINGS)
def test_what_is_laid_over_counts_as_if_it_was_complete(below, above):
    """A preset is what it stands for: overlaying commutes with expanding presets."""
    from redetail.settings import with_preset

    both = RequestedSettings(below).overlay(above)
    assert resolve(both, {}, PRESETS) == Settings(**{**with_preset(below, PRESETS), **with_preset(above, PRESETS)})


def test_given_subjects_keep_their_own_settings():
    subject = Subject(1, settings={"steps": 12})
    assert Job().overlay(subjects=[subject], steps=3).subjects == (subject,)


def test_settings_are_checked_when_asked_since_they_may_be_overridden():
    job = Job(settings={"steps": 0})
    with pytest.raises(SettingsError, match="steps is 0"):
        job.check()
    job.overlay(steps=2).check()
    with pytest.raises(SettingsError, match="Subject 1: cfg must be a number"):
        Job(subjects=(Subject(1, settings={"cfg": "a"}),)).check()


def test_a_job_without_a_source_cannot_be_run():
    with pytest.raises(SettingsError, match="The job does not name a source"):
        redetail.run(Job())
    with pytest.raises(InputError, match="name of the input is empty"):
        Job(source="")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"source": np.zeros((1, 8, 8, 3), np.uint8)}, "source"),
        ({"source": "in.mp4", "mask": np.ones((8, 8))}, "mask"),
        ({"source": "in.mp4", "segs": {"size": [8, 8]}}, "segs"),
        ({"source": "in.mp4", "detect": SimpleNamespace(detect=list)}, "detect"),
    ],
)
def test_an_object_in_memory_cannot_be_written(options, name):
    job = Job().overlay(**options)
    assert job.unnamed == (name,)
    with pytest.raises(SettingsError, match=f"its {name} is an object in memory"):
        job.to_document()


def test_the_job_of_a_run_is_complete_and_writes_nothing_beside_the_output(tmp_path):
    """So a report is run again with nothing but another output's name, as docs/jobs.md says."""
    beside = {name: tmp_path / name for name in ("save_hints", "compare", "report")}
    done = Job().overlay(source="in.mp4", output="out.mp4", **beside).as_run(Settings(steps=3))
    assert done == Job(
        source=Path("in.mp4"), output=Path("out.mp4"), settings=Settings(steps=3).as_dict(), config=False
    )
    assert not beside.keys() & done.to_document().keys()


def test_files_that_are_read(tmp_path):
    job = Job().overlay(source="in.mp4", mask="m.png", segs="s.json", model=ModelSpec(vae="v.pt"))
    assert job.files == (Path("m.png"), Path("s.json"), Path("v.pt"))


def test_a_detector_beside_a_box_is_refused():
    """It would not be used, whichever of the two was meant."""
    with pytest.raises(SettingsError, match="detect and box were both given"):
        Job().overlay(detect="face", box=(1, 2, 3, 4))
    with pytest.raises(SettingsError, match="detect and mask were both given"):
        Job().overlay(detect="face", mask="m.png")
    assert Job().overlay(detect="face").overlay(box=(1, 2, 3, 4)).selection == (BoxSelection((Box(1, 2, 3, 4),)),)


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("source", 5, "The source is 5"),
        ("source", "a\0b", "which cannot be a file name"),
        ("source", "a\ud800", "which cannot be a file name"),
        ("source", "~nobody-of-this-name/a", "the home folder that ~ stands for cannot be found"),
        ("output", 5, "output is 5; it must be the name of a file"),
        ("compare", ["a"], "compare is ['a']"),
        ("compare_layout", "stripes", "There is no comparison layout named 'stripes'"),
        ("box", 5, "box is 5"),
        ("mask", object(), "mask is <object"),
        ("mask", [[1, 0], [1]], "rows of unequal length"),
        ("segs", [1], "segs is [1]"),
        ("detect", 5, "detect is 5"),
        ("start", [1], "start is [1]"),
        ("model", {"vea": "a"}, "no field of ModelSpec named 'vea'"),
        ("device", 5, "device is 5; give a name"),
        ("memory", "little", "memory is 'little'; give a redetail.Memory"),
        ("memory", {"dtpye": "a"}, "no field of Memory named 'dtpye'"),
        ("encode", 5, "encode is 5; give a redetail.EncodeOptions"),
        ("subjects", 5, "subjects must be a list in which each item is a redetail.Subject"),
        ("subjects", [5], "subjects is 5; give a redetail.Subject"),
        ("steps", object(), "steps must be a number"),
        ("prompt", 5, "prompt must be text"),
        ("preset", 5, "preset"),
        ("preset", [5], "preset"),
        ("loras", 5, "lora must be a list"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused_in_one_sentence(option, value, part):
    arguments = {"source": np.zeros((1, 8, 8, 3), np.uint8), "box": (1, 1, 7, 7), option: value}
    if option in ("mask", "segs", "detect"):
        del arguments["box"]
    with pytest.raises(RedetailError) as caught:
        redetail.detail(**arguments)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "mask",
    [
        [[0, 1], [1, 1]],
        [[0.0, 1.0], [1.0, 1.0]],
        np.array([[[[0, 1], [1, 1]]]]),
        np.array([[[[0], [1]], [[1], [1]]]]),
        np.array([[0, 1], [1, 1]], np.uint8),
        np.array([[0, 255], [255, 255]], np.uint8),
        np.array([[False, True], [True, True]]),
    ],
)
def test_masks_come_in_many_forms(mask):
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    (region,) = redetail.plan(frames, mask=mask, engine=redetail.engines.FakeEngine()).regions
    assert (region.mask(0) > 0).tolist() == [[False, True], [True, True]]


NAMES = st.text("abcä /", min_size=1).map(lambda text: f"/{text.strip('/ ') or 'x'}")


@given(
    st.fixed_dictionaries(
        {"source": NAMES},
        optional={
            "output": NAMES,
            "report": NAMES,
            "compare": NAMES,
            "compare_layout": st.sampled_from(["crops", "side", "wipe"]),
            "save_hints": NAMES,
            "mask": NAMES,
            "box": st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(9, 20)] * 2), min_size=1),
            "start": st.integers(0, 5),
            "end": st.sampled_from(["10", "1:00", 7.5]),
            "device": st.sampled_from(["cpu", "cuda"]),
            "scale": st.sampled_from([1, 2, 1.5, "3", 720, "1080p"]),
            "background": st.sampled_from(["lanczos", "model"]),
            "memory": st.builds(Memory, dtype=st.sampled_from(["float16", None]), vae_batch=st.integers(1, 4)),
            "encode": st.builds(EncodeOptions, quality=st.floats(0, 63), lossless=st.booleans()),
            "prompt": st.text(st.characters(exclude_categories=("Cs",))),
            "steps": st.integers(1, 9),
            "subjects": st.lists(
                st.builds(
                    Subject,
                    st.one_of(st.integers(1, 9), st.text("ab", min_size=1)),
                    st.booleans(),
                    st.dictionaries(st.sampled_from(["steps", "seed"]), st.integers(1, 9)),
                )
            ),
        },
    )
)
def test_a_job_comes_back_from_its_document(options):
    job = Job().overlay(**options)
    assert Job.from_document(job.to_document(), Path("/elsewhere")) == job
