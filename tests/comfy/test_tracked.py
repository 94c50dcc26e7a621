"""A tracked segment is an ordinary SEG to everybody else."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from redetail.comfy.nodes.control import ImpactControlNetApplySEGS, ImpactControlNetClearSEGS
from redetail.comfy.paste import pasted
from redetail.comfy.tracked import TrackedSeg, scaled_region
from redetail.errors import InputError, RegionError
from redetail.imaging import resample
from redetail.pipeline.crop_store import HeldCrops
from redetail.region import Region, Size
from redetail.segs import Seg

FRAME, CLIP = Size(60, 48), 7
RNG = np.random.default_rng(5)


def smooth_frames(count: int = CLIP) -> Any:
    """(F, H, W, 3) without detail that resampling would lose."""
    y, x, t = np.meshgrid(np.arange(48), np.arange(60), np.arange(count), indexing="ij")
    planes = [0.5 + 0.4 * np.sin(0.11 * x + 0.07 * y * k + 0.2 * t) for k in (1, 2, 3)]
    return np.stack(planes, -1).transpose(2, 0, 1, 3).astype(np.float32).copy()


def region(fade: int = 0) -> Region:
    path = np.array([[4.5 + 2 * i, 6.25] for i in range(5)])
    boxes = np.array([[10.0 + 2 * i, 10, 20 + 2 * i, 22] for i in range(5)])
    return Region("face 1", 0.9, 1, Size(24, 20), path, boxes, fade_in=fade)


def detailed(frames: Any, change: float = 0.1, scale: int = 2) -> TrackedSeg:
    seg = TrackedSeg(region(), FRAME, CLIP)
    size = Size(24 * scale, 20 * scale)
    crops = HeldCrops((5, *size.shape, 3))
    for index in range(5):
        shown = resample.crop(frames[1 + index], seg.region.window(index), size)
        crops.write(index, shown[None] + np.float32(change))
    return seg.with_crops(frames, crops)


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_before_detailing_it_is_the_union_of_its_windows() -> None:
    seg = TrackedSeg(region(), FRAME, CLIP)
    assert isinstance(seg, Seg)
    assert isinstance(seg, tuple)
    assert seg.cropped_image is None
    assert seg.crop_region == (4, 6, 37, 27)
    assert seg.bbox == (10, 10, 28, 22)
    assert (seg.label, seg.confidence, seg.control_net_wrapper) == ("face 1", 0.9, None)
    assert seg.cropped_mask.shape == (CLIP, 21, 33)
    assert [mask.sum() > 0 for mask in seg.cropped_mask] == [False, *[True] * 5, False]
    # The box covers whole pixels but the window lies between them: its linear placing keeps the area.
    assert seg.cropped_mask[3].sum() == pytest.approx(120, rel=0.01)
    rows, columns = np.nonzero(seg.cropped_mask[3] > 0.5)
    assert (columns.min() + 4, columns.max() + 5, rows.min() + 6, rows.max() + 7) == (14, 24, 10, 22)


def test_a_subject_that_fades_has_a_weaker_mask() -> None:
    full, fading = (TrackedSeg(region(fade), FRAME, CLIP).cropped_mask for fade in (0, 3))
    for index, strength in enumerate([0.25, 0.5, 0.75, 1, 1], 1):
        np.testing.assert_allclose(fading[index], full[index] * strength, atol=1e-6)


def test_every_way_to_read_it_gives_the_same_values() -> None:
    seg = detailed(smooth_frames())
    named = [getattr(seg, name) for name in Seg._fields]
    image, mask, confidence, crop, bbox, label, wrapper = seg
    ways = {
        "iteration": list(seg),
        "unpacking": [image, mask, confidence, crop, bbox, label, wrapper],
        "star": [*seg],
        "tuple": next(map(tuple, [seg])),
        "index": [seg[index] for index in range(7)],
        "negative index": [seg[index] for index in range(-7, 0)],
        "slice": list(seg[:]),
        "reversed": list(reversed(seg))[::-1],
        "call": (lambda *values: list(values))(*seg),
        "asdict": list(seg._asdict().values()),
        "replace": list(seg._replace()),
        "plain replace": list(seg._replace(bbox=seg.bbox)),
        "make": list(TrackedSeg._make(seg)),
        "sum": list(seg + tuple("x"))[:7],
        "copy": list(copy.copy(seg)),
        "deep copy": list(copy.deepcopy(seg)),
        "pickle": list(pickle.loads(pickle.dumps(seg))),
    }
    for way, values in ways.items():
        assert len(values) == 7, way
        assert all(map(same, values, named)), way
    assert len(seg) == 7


def test_it_stays_tracked_where_only_its_name_or_control_net_changes() -> None:
    seg, net = detailed(smooth_frames()), object()
    changed = seg._replace(control_net_wrapper=net, label="nose", confidence=0.5)
    assert isinstance(changed, TrackedSeg)
    assert (changed.control_net_wrapper, changed.label, changed.confidence) == (net, "nose", 0.5)
    assert changed.crops is seg.crops
    plain = seg._replace(cropped_mask=None)
    assert type(plain) is Seg
    assert plain.cropped_mask is None
    np.testing.assert_array_equal(plain.cropped_image, seg.cropped_image)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda seg: pickle.loads(pickle.dumps(seg))])
def test_copies_are_tracked_too(copied: Any) -> None:
    seg = detailed(smooth_frames())._replace(label="x")
    other = copied(seg)
    assert isinstance(other, TrackedSeg)
    assert other.label == "x"
    assert len(other.region) == len(seg.region)
    np.testing.assert_array_equal(other.cropped_image, seg.cropped_image)


def test_equality_is_identity_because_pictures_have_none() -> None:
    one, other = TrackedSeg(region(), FRAME, CLIP), TrackedSeg(region(), FRAME, CLIP)
    assert one == one
    assert one != other
    assert len({one, other}) == 2
    assert "0.9" not in repr(one)  # a repr must not compute pictures
    assert "_image" not in one.__dict__


def test_after_detailing_the_union_shows_the_changed_window_and_else_the_frames() -> None:
    frames = smooth_frames()
    image = detailed(frames).cropped_image
    assert image.shape == (CLIP, 21, 33, 3)
    shown = frames[:, 6:27, 4:37]
    np.testing.assert_array_equal(image[[0, 6]], shown[[0, 6]])
    # Well inside the window of frame 3 (8.5..32.5 x 6.25..26.25) there is the change, and beside it nothing.
    np.testing.assert_allclose(image[3, 3:17, 8:24], np.clip(shown[3, 3:17, 8:24] + 0.1, 0, 1), atol=2e-3)
    np.testing.assert_array_equal(image[3, :, :4], shown[3, :, :4])


def test_pasted_as_a_plain_seg_it_gives_what_we_paste() -> None:
    torch = pytest.importorskip("torch")
    frames = smooth_frames()
    seg, given = detailed(frames), torch.from_numpy(frames.copy())
    ours = pasted(given, (FRAME.shape, [seg]), 3)
    theirs = pasted(given, (FRAME.shape, [Seg(*seg)]), 3)
    np.testing.assert_array_equal(given.numpy(), frames)
    assert float((ours - given).abs().max()) == pytest.approx(0.1, abs=2e-3)
    # The mask is blurred before it is placed in one way and after in the other: a fraction of a pixel at its edge.
    # Ours also falls to zero at the border of the window.
    assert float((ours - theirs).abs().max()) < 0.1 * 0.12
    assert float((ours - theirs).abs().mean()) < 1.2e-4


def test_weaker_strength_shows_a_part_of_the_change() -> None:
    torch = pytest.importorskip("torch")
    frames = torch.from_numpy(smooth_frames())
    seg = (FRAME.shape, [detailed(frames.numpy())])
    whole, half = (pasted(frames, seg, 3, alpha) - frames for alpha in (255, 127.5))
    np.testing.assert_allclose(half, whole / 2, atol=1e-6)


def test_crops_that_changed_nothing_keep_every_bit() -> None:
    torch = pytest.importorskip("torch")
    frames = smooth_frames()
    seg = TrackedSeg(region(), FRAME, CLIP)
    exact = HeldCrops((5, 20, 24, 3))
    quantised = np.rint(frames * 65535) / 65535
    for index in range(5):
        exact.write(index, resample.crop(quantised[1 + index], seg.region.window(index), Size(24, 20))[None])
    out = pasted(torch.from_numpy(frames), (FRAME.shape, [seg.with_crops(frames, exact)]), 3)
    assert float((out - torch.from_numpy(frames)).abs().max()) < 2 / 65535


def test_frames_of_another_size_move_the_subject_with_them() -> None:
    large = np.zeros((CLIP, 96, 180, 3), np.float32)
    fitted = TrackedSeg(region(), FRAME, CLIP).fitted(large, "image_frames")
    assert fitted.frame == Size(180, 96)
    assert fitted.region.size == Size(72, 40)
    np.testing.assert_allclose(fitted.region.path[0], [13.5, 12.5])
    np.testing.assert_allclose(fitted.region.boxes[0], [30, 20, 60, 44])


def test_scaled_windows_stay_inside_and_masks_follow() -> None:
    masks = [RNG.integers(0, 256, (20, 24)).astype(np.uint8) for _ in range(5)]
    given = region()
    with_masks = Region(given.label, 0.9, 1, given.size, given.path, given.boxes, masks)
    scaled = scaled_region(with_masks, FRAME, Size(37, 31))
    for index in range(5):
        window = scaled.window(index)
        assert window.x1 >= 0
        assert window.x2 <= 37
        assert scaled.mask(index).shape == scaled.size.shape
    flat = Region("m", 1, 0, Size(24, 20), given.path, given.boxes, [np.full((20, 24), 255, np.uint8)])
    assert scaled_region(flat, FRAME, Size(37, 31)).mask(3).min() == 1


def test_another_clip_is_refused_with_both_counts() -> None:
    with pytest.raises(RegionError, match=r"tracked in 7 frames, but image_frames has 3"):
        TrackedSeg(region(), FRAME, CLIP).fitted(np.zeros((3, 48, 60, 3), np.float32), "image_frames")


def test_hints_of_a_control_net_are_cut_along_the_window() -> None:
    torch = pytest.importorskip("torch")
    seg = (FRAME.shape, [TrackedSeg(region(), FRAME, CLIP)])
    ramp = torch.linspace(0, 1, 120).repeat(96, 1)[None, ..., None].repeat(CLIP, 1, 1, 3)  # twice the frames' size
    ramp = ramp * torch.arange(1, CLIP + 1)[:, None, None, None] / CLIP  # each frame its own
    for images, scale in ((ramp, torch.arange(2, 7) / CLIP), (ramp[-1:], torch.ones(5))):
        (_, (told,)) = ImpactControlNetApplySEGS.doit(seg, object(), 0.5, control_image=images)[0]
        assert isinstance(told, TrackedSeg)
        hint = told.control_net_wrapper.control_image
        assert hint.shape == (5, 40, 48, 3)
        # The middle of the window is at 2 * (4.5 + 2 i) + 24 of 120 pixels.
        expected = torch.tensor([(2 * (4.5 + 2 * i) + 23.5) / 119 for i in range(5)]) * scale
        np.testing.assert_allclose(hint[:, 20, 23:25, 0].mean(1), expected, atol=2e-3)
    with pytest.raises(InputError, match="control_image must be an IMAGE of one frame or of 7"):
        ImpactControlNetApplySEGS.doit(seg, object(), 0.5, control_image=ramp[:3])
    (_, (cleared,)) = ImpactControlNetClearSEGS.doit((FRAME.shape, [told]))[0]
    assert isinstance(cleared, TrackedSeg)
    assert cleared.control_net_wrapper is None


def test_a_fourth_channel_is_left_alone() -> None:
    torch = pytest.importorskip("torch")
    frames = smooth_frames()
    alpha = np.full((*frames.shape[:3], 1), 0.3, np.float32)
    given = torch.from_numpy(np.concatenate([frames, alpha], -1))
    out = pasted(given, (FRAME.shape, [detailed(frames)]), 3)
    assert torch.equal(out[..., 3], given[..., 3])
    assert float((out - given).abs().max()) > 0.05
