"""Feeding: source crops of exactly the frames of a task, no sooner and no longer than they are needed."""

import numpy as np
import pytest

from redetail.engines.fake import FakeEngine
from redetail.errors import InputError
from redetail.imaging import resample
from redetail.pipeline.feed import feed
from redetail.pipeline.tasks import plan_tasks
from redetail.pipeline.workspace import Workspace
from redetail.video import Frame, array_source
from tests.pipeline.plans import WORKING, clip, crop_plan, pixels, plan_of


def test_crops_are_taken_from_the_frames_of_the_stretch():
    plan, shown = plan_of(crop_plan(41, most=18), crop_plan(12, start=20)), clip()
    with Workspace.temporary() as space:
        for task in feed(plan_tasks(plan, space.folder), array_source(shown).frames(), space, {}):
            assert len(task.source) == len(task.stretch)
            for index, crop in enumerate(task.source.read(0, len(task.source))):
                window = task.crop.region.window(index)
                expected = resample.crop(shown[task.start + index], window, WORKING)
                np.testing.assert_allclose(crop, expected, atol=1 / 65535)


def test_no_frame_is_read_before_it_is_needed():
    read = []

    def frames():
        for index, picture in enumerate(clip(30)):
            read.append(index)
            yield Frame(index, index, picture)

    with Workspace.temporary() as space:
        tasks = plan_tasks(plan_of(crop_plan(28, most=18)), space.folder)
        fed = feed(tasks, frames(), space, {})
        first = next(fed)
        assert read[-1] == first.stop - 1
        assert [path.name for path in sorted((space.folder / "sources").iterdir())] == [
            "1-00001.crops",
            "1-00002.crops",
        ]
        first.result.create()
        space.finish(first)
        assert [path.name for path in (space.folder / "sources").iterdir()] == ["1-00002.crops"]
        assert next(fed).number == 1


def test_a_clip_that_became_shorter_is_refused():
    with pytest.raises(InputError, match="The clip ended after 20 frames, but the regions need 29"):
        pixels(FakeEngine(), plan_of(crop_plan(28, most=18)), frames=20)


def test_source_crops_are_gone_when_all_is_done(tmp_path):
    plan = plan_of(crop_plan(41, most=18), crop_plan(12, start=20))
    with Workspace.temporary(tmp_path) as space:
        pixels(FakeEngine(), plan, workspace=space)
        assert list((space.folder / "sources").iterdir()) == []
        assert len(list((space.folder / "results").iterdir())) == 5
    assert list(tmp_path.iterdir()) == []
