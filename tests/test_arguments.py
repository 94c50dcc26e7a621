"""What a caller of the library gives by mistake is refused in one sentence, before any work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import redetail
from redetail.engines import FakeEngine
from redetail.engines.base import Request
from redetail.selection.detected import Detections

FRAMES = np.full((4, 48, 64, 3), 90, np.uint8)
BOX = (16, 12, 48, 36)
SMALL = {"guide_size": 16, "max_size": 32, "steps": 1}


def region(start: int = 0, frames: int = 4, side: int = 32, corner: tuple[float, float] = (8, 8)) -> redetail.Region:
    path = np.tile(corner, (frames, 1)).astype(float)
    return redetail.Region("face", 0.9, start, redetail.Size(side, side), path, np.concatenate([path, path + side], 1))


def crops(count: int = 4) -> np.ndarray[Any, Any]:
    return np.full((count, 16, 16, 3), 0.5, np.float32)


WRONG = [None, 3, "x", [1], [None], object(), np.zeros(3)]


@pytest.mark.parametrize("regions", [*WRONG[:2], *WRONG[2:]])
def test_what_is_not_a_list_of_regions(regions: Any) -> None:
    with pytest.raises(redetail.RegionError, match="regions must be a list"):
        redetail.enhance(FRAMES, regions, engine=FakeEngine())
    with pytest.raises(redetail.RegionError, match="regions must be a list"):
        redetail.paste(FRAMES, regions, [crops()])


@pytest.mark.parametrize("given", WRONG)
def test_what_is_not_a_list_of_crops(given: Any) -> None:
    with pytest.raises(redetail.RegionError, match="crops"):
        redetail.paste(FRAMES, [region()], given)


@pytest.mark.parametrize("wrong", [crops().astype(np.uint8), crops() * np.nan, crops()[:0], crops()[..., :1], crops(3)])
def test_crops_of_another_kind(wrong: np.ndarray[Any, Any]) -> None:
    with pytest.raises(redetail.RegionError, match="crops"):
        redetail.paste(FRAMES, [region()], [wrong])


@pytest.mark.parametrize(
    ("placed", "part"),
    [
        (region(frames=5), "continues to frame 4, but the last frame of the clip is 3"),
        (region(start=3), "continues to frame 6"),
        (region(side=65), "a 65x65-pixel window, but the frame is only 64x48"),
        (region(corner=(64, 0)), "a window that lies outside the 64x48-pixel frame"),
        (region(corner=(0, -32)), "a window that lies outside the 64x48-pixel frame"),
    ],
)
def test_regions_of_another_clip(placed: redetail.Region, part: str) -> None:
    with pytest.raises(redetail.RegionError, match=part):
        redetail.enhance(FRAMES, [placed], engine=FakeEngine())
    with pytest.raises(redetail.RegionError, match=part):
        redetail.paste(FRAMES, [placed], [crops(len(placed))])


def test_a_region_that_outlasts_a_file_leaves_nothing(tmp_path) -> None:
    source = tmp_path / "frames"
    redetail.paste(FRAMES, [], [], source)
    with pytest.raises(redetail.RegionError, match="continues to frame 8, but the last frame of the clip is 3"):
        redetail.paste(source, [region(frames=9)], [crops(9)], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames"]


@pytest.mark.parametrize("feather", ["5", -1, 1.5, None, True, float("nan"), 10**9])
def test_feathers_that_cannot_be(feather: Any) -> None:
    with pytest.raises(redetail.SettingsError, match="paste-feather"):
        redetail.paste(FRAMES, [region()], [crops()], paste_feather=feather)


@pytest.mark.parametrize("name", ["engine", "progress", "cancel"])
@pytest.mark.parametrize("value", ["x", 3, object()])
def test_objects_of_another_kind(name: str, value: Any) -> None:
    given: dict[str, Any] = {"engine": FakeEngine(), name: value}
    for call in (lambda: redetail.detail(FRAMES, box=BOX, **given), lambda: redetail.plan(FRAMES, box=BOX, **given)):
        with pytest.raises(redetail.SettingsError, match=f"{name} is "):
            call()
    with pytest.raises(redetail.SettingsError, match=f"{name} is "):
        redetail.enhance(FRAMES, [region()], **given)


@pytest.mark.parametrize("detector", ["unicorn", 3, None, object()])
def test_detectors_that_are_not(detector: Any) -> None:
    with pytest.raises(redetail.SettingsError):
        redetail.detect(FRAMES, detector=detector)


def test_detections_that_are_not() -> None:
    with pytest.raises(redetail.RegionError, match="detections must be"):
        redetail.track([[]], (64, 48))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [3, "64x48", (64,), (64.5, 48), (64, 48, 3), None, np.zeros((48, 64)), (0, 0)])
def test_sizes_that_cannot_be(size: Any) -> None:
    with pytest.raises(redetail.RegionError, match="size"):
        redetail.track(Detections(0, ((),), frozenset()), size)


@pytest.mark.parametrize("factor", ["3", None, float("nan"), 0.5, 10**40])
def test_crop_factors_that_cannot_be(factor: Any) -> None:
    with pytest.raises(redetail.SettingsError, match="crop-factor"):
        redetail.track(Detections(0, ((),), frozenset()), (64, 48), crop_factor=factor)


class Wrong(FakeEngine):
    """An engine of a caller's own that writes what it should not."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self._made = made

    def run(self, request: Request) -> None:
        request.write(0, self._made(request.crops.all()))


@pytest.mark.parametrize(
    "made",
    [
        lambda _: None,
        lambda crops: crops.tolist(),
        lambda crops: crops[:0],
        lambda crops: crops[:, :8],
        lambda crops: crops[..., :1],
        lambda crops: crops[:1],
        lambda crops: (crops * 255).astype(np.uint8),
    ],
)
def test_engines_that_write_something_else(made: Any) -> None:
    with pytest.raises(redetail.ModelError, match="he engine fake returned"):
        redetail.detail(FRAMES, box=BOX, engine=Wrong(made), **SMALL)


def test_engines_that_write_no_numbers() -> None:
    with pytest.raises(redetail.ModelError, match="he engine fake produced values that are not finite"):
        redetail.detail(FRAMES, box=BOX, engine=Wrong(lambda crops: crops * np.nan), **SMALL)


def test_an_error_in_a_callback_is_the_callers_and_nothing_is_left(tmp_path) -> None:
    def fail(report: redetail.Progress) -> None:
        if report.stage == "write" and report.done:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        redetail.detail(FRAMES, tmp_path / "out.mp4", box=BOX, engine=FakeEngine(), progress=fail, **SMALL)
    assert not list(tmp_path.iterdir())
