"""Joining: what one pass over all frames in order would blend, read by any range."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import redetail
from redetail.engines import load_engine
from redetail.pipeline.crop_store import CropStore
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.run import Run
from redetail.pipeline.stretches import OVERLAP, Stretch, split
from redetail.video import array_source
from tests.clips import clip_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("joints")


def stored(folder, stretches):
    """Random crops of 2x3 pixels for every stretch, and the stores that hold them."""
    stores = [CropStore(folder / f"{index}", (len(one), 2, 3, 3)) for index, one in enumerate(stretches)]
    for number, store in enumerate(stores):
        store.create()
        store.write(0, np.random.default_rng(number).random(store.shape, np.float32))
    return [store.read(0, len(store)) for store in stores], stores


def in_order(stretches, crops):
    """Each stretch over those before it, all frames in memory."""
    joined = np.zeros((stretches[-1].stop, 2, 3, 3))
    for stretch, own in zip(stretches, crops, strict=True):
        for index, crop in enumerate(own):
            share = min(1, (index + 1) / (stretch.shared + 1))
            frame = joined[stretch.start + index]
            frame += share * (crop - frame)
    return joined


@given(st.integers(1, 120), st.integers(2 * OVERLAP, 50), st.none() | st.integers(1, 40), st.data())
@settings(deadline=None, max_examples=60)
def test_any_range_is_what_blending_in_order_gives(folder, frames, most, window, data):
    stretches = split(frames, most, window)
    crops, stores = stored(folder, stretches)
    start = data.draw(st.integers(0, frames - 1))
    stop = data.draw(st.integers(start + 1, frames))
    joined = JoinedCrops(stretches, stores)
    np.testing.assert_allclose(joined.read(start, stop), in_order(stretches, crops)[start:stop], atol=1e-6)
    np.testing.assert_array_equal(joined[start], joined.read(start, stop)[0])
    assert joined.shape == (frames, 2, 3, 3)


def test_a_frame_in_three_stretches_fades_through_all(folder):
    stretches = [Stretch(0, 10), Stretch(4, 12, 6), Stretch(6, 14, 6)]
    crops, stores = stored(folder, stretches)
    np.testing.assert_allclose(JoinedCrops(stretches, stores).read(0, 14), in_order(stretches, crops), atol=1e-6)


def test_a_frame_outside_every_joint_is_its_stretch_s_own_bit_for_bit(folder):
    stretches = split(41, 18)
    crops, stores = stored(folder, stretches)
    first, second = stretches[:2]
    np.testing.assert_array_equal(JoinedCrops(stretches, stores)[second.start - 1], crops[0][second.start - 1])
    np.testing.assert_array_equal(JoinedCrops(stretches, stores)[first.stop], crops[1][first.stop - second.start])


def test_two_plans_of_a_real_clip_differ_by_little():
    """The bundled model on a real face: one stretch of 17 frames against two of the shortest that there are."""
    source, engine = array_source(np.stack(clip_frames("guitarist")[:17])), load_engine(device="cpu")
    plan = redetail.plan(source, engine=engine, box=(130, 60, 210, 150), guide_size=32, max_size=64)
    (crop,), results = plan.crops, []
    for most in (16, 600):
        cut = replace(crop, stretches=tuple(split(17, most, engine.capabilities.context_length)))
        with Run(source, engine, plan.settings).enhanced(replace(plan, crops=(cut,))) as (joined,):
            results.append(joined.read(0, 17) * 255)
    assert 0 < np.abs(results[0] - results[1]).max() < 2  # measured: see docs/architecture.md


def test_reading_in_order_holds_no_more_than_the_stretches_that_share_a_frame(folder):
    held = set()

    class Watched(CropStore):
        def read(self, start, stop):
            held.add(self.path)
            return super().read(start, stop)

        def release(self):
            held.discard(self.path)

    stretches = split(200, 20)
    _, stores = stored(folder, stretches)
    joined = JoinedCrops(stretches, [Watched(store.path, store.shape) for store in stores])
    most = 0
    for index in range(len(joined)):
        assert joined[index].shape == (2, 3, 3)
        most = max(most, len(held))
    assert len(stretches) > 10
    assert most == 2
