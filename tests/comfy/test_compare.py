"""Before and after: pictures and figures."""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from redetail.comfy.compare import PREVIEWS, Flicker, beside, chart, difference, flicker, matched, preview_pairs
from redetail.comfy.frames import enlarged_frames
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import InputError
from redetail.evaluate.temporal import WarpedError
from redetail.region import Box, Region, Size
from redetail.segs import Seg


def texture(count: int = 6, height: int = 64, width: int = 96) -> Tensor:
    """Frames of a texture that moves by a pixel each."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [0.5 + 0.3 * torch.sin(0.31 * (x + t)) * torch.cos(0.23 * y) for t in range(count)]
    return torch.stack(planes)[..., None].repeat(1, 1, 1, 3)


def test_side_by_side_and_difference() -> None:
    before = texture(2)
    after = before + 0.02
    pair = beside(before, after)
    assert pair.shape == (2, 64, 96 * 2 + 4, 3)
    np.testing.assert_allclose(pair[1, 40:, :96], before[1, 40:], atol=0.51 / 255)
    np.testing.assert_allclose(pair[1, 40:, 100:], after[1, 40:], atol=0.51 / 255)
    np.testing.assert_allclose(difference(before, after, 10), 0.7, atol=1e-5)
    assert float(difference(before, before, 255).sub(0.5).abs().max()) == 0


def test_the_slider_gets_frames_spread_over_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ModuleType("folder_paths")
    monkeypatch.setattr(paths, "get_temp_directory", lambda: str(tmp_path), raising=False)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    before = torch.arange(60).div(255).reshape(60, 1, 1, 1).expand(60, 4, 2048, 3)
    pairs = preview_pairs(before, before + 0.5)
    assert len(pairs) == PREVIEWS
    assert (pairs[0]["frame"], pairs[-1]["frame"], pairs[0]["frames"]) == (0, 59, 60)
    for pair in pairs:
        one, other = (Image.open(tmp_path / pair[name]["filename"]) for name in ("before", "after"))
        assert one.size == other.size == (1024, 2)
        assert (one.getpixel((9, 1))[0], other.getpixel((9, 1))[0]) == (
            pair["frame"],
            pytest.approx(pair["frame"] + 127.5, abs=1),
        )
    assert len(preview_pairs(before[:1], before[:1])) == 1


def test_flicker_is_seen_and_measured_like_a_report_measures_it() -> None:
    before = texture()
    after = before + torch.tensor([0.0, 0.05] * 3)[:, None, None, None]
    (found,) = flicker(before, after, [])
    whole = WarpedError()
    for index in range(6):
        one, other = ((frames[index] * 255).round().to(torch.uint8).numpy() for frames in (before, after))
        whole.add(index, one, other, Box(0, 0, 96, 64))
    figures = found.figures
    assert figures["before"] == pytest.approx(whole.figures.source, abs=1e-3)
    assert figures["after"] == pytest.approx(whole.figures.output, abs=1e-3)
    assert figures["after"] > 10 > figures["before"]
    assert figures["ratio"] == pytest.approx(whole.figures.ratio, rel=1e-3)
    assert found.values("source")[0] is None
    assert all(value is not None for value in found.values("output")[1:])
    json.dumps(figures)


def test_only_the_subject_counts_where_there_are_segments() -> None:
    before = texture()
    after = before.clone()
    after[1::2, :32, :32] += 0.1
    boxes = np.tile([40.0, 34, 90, 60], (4, 1))
    quiet = Region("quiet", 1, 1, Size(50, 26), boxes[:, :2], boxes)
    (found,) = flicker(before, after, [TrackedSeg(quiet, Size(96, 64), 6)])
    assert found.figures["ratio"] == pytest.approx(1)
    assert [value is None for value in found.values("source")] == [True, True, False, False, False, True]


def test_a_larger_output_is_compared_with_the_enlarged_clip() -> None:
    before, header = texture(3), (64, 96)
    after = enlarged_frames(before, Size(192, 128))
    one = matched(before, after)
    assert torch.equal(one, after)
    assert matched(before, before) is before
    after[1::2, :64, :64] += 0.1
    subject, quiet = (Seg(None, None, 1, box, box, "a", None) for box in ((0, 0, 32, 32), (40, 34, 90, 60)))
    changed, unchanged = flicker(one, after, [subject, quiet], header=header)
    assert unchanged.figures["ratio"] == pytest.approx(1)
    assert changed.figures["ratio"] > 2


def test_no_step_is_measured_over_a_cut() -> None:
    rng = np.random.default_rng(1)
    other = torch.from_numpy(rng.random((8, 12, 3), dtype=np.float32)).repeat_interleave(8, 0).repeat_interleave(8, 1)
    dark = texture(8) * torch.tensor([0.2, 0.9, 0.3])
    clip = torch.cat([dark, other[None].repeat(4, 1, 1, 1)])
    (found,) = flicker(clip, clip, [])
    assert [index for index, value in enumerate(found.values("source")) if value is None] == [0, 8]


def test_the_chart_has_a_panel_for_each_subject_and_both_curves() -> None:
    before = texture()
    after = before + torch.tensor([0.0, 0.05] * 3)[:, None, None, None]
    (found,) = flicker(before, after, [])
    picture = chart([found, Flicker("gone", (None, None))])
    assert picture.shape == (896, 1024, 3)
    blue, orange = ((picture[60:400] == colour).all(-1).sum() for colour in ((120, 170, 255), (255, 170, 60)))
    assert min(blue, orange) > 500
    assert (picture[460:] == (255, 170, 60)).all(-1)[60:].sum() == 0


def test_a_single_frame_has_no_curve_but_no_error_either() -> None:
    (found,) = flicker(texture(1), texture(1), [])
    assert found.figures["ratio"] is None
    assert chart([found]).shape == (448, 1024, 3)


def test_clips_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="The before input has 2 frames, but the after input has 3;"):
        matched(texture(2), texture(3))
    with pytest.raises(InputError, match="before input are 96x64 pixels, but those of the after input are 48x64;"):
        matched(texture(2), texture(2)[:, :, :48])
