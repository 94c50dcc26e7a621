"""Pipes, SEGS taken apart and put together, previews: what goes in comes out, and nothing that came in is changed."""

import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from redetail.comfy.nodes.gits import GITSSchedulerFuncProvider
from redetail.comfy.nodes.pipes import FromBasicPipe, ToBasicPipe
from redetail.comfy.nodes.preview import SEGSPreview, SEGSPreviewCNet, SEGSToImageList
from redetail.comfy.nodes.segs import (
    ImpactAssembleSEGS,
    ImpactDecomposeSEGS,
    ImpactFromSegElt,
    ImpactSEGSConcat,
    RemoveImageFromSEGS,
    SetDefaultImageForSEGS,
)
from redetail.errors import InputError, OutputError, RegionError, UnknownNameError
from redetail.segs import Seg

Foreign = namedtuple(
    "Foreign", "label cropped_mask control_net_wrapper bbox crop_region confidence cropped_image extra"
)
"""Another pack's class: other order, one field more."""

HEADER = (40, 60)
FRAMES = torch.rand(3, 40, 60, 3, generator=torch.Generator().manual_seed(1))
CROPS = FRAMES[:, 10:30, 20:50]
MASK = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)


def foreign(**changes: Any) -> Any:
    fields = {"cropped_image": None, "cropped_mask": MASK, "confidence": 0.5, "control_net_wrapper": "net", "extra": 1}
    places = {"crop_region": [20, 10, 50, 30], "bbox": (25, 12, 45, 28), "label": "face"}
    return Foreign(**{**fields, **places, **changes})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's temporary folder, which need not exist yet."""
    paths = ModuleType("folder_paths")
    folder = tmp_path / "temp"
    monkeypatch.setattr(paths, "get_temp_directory", lambda: str(folder), raising=False)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    return folder


def shown(result: dict[str, Any], folder: Path) -> list[Image.Image]:
    """The preview files of a result, in order."""
    files = result["ui"]["images"]
    assert {(file["subfolder"], file["type"]) for file in files} <= {("", "temp")}
    pictures = []
    for file in files:
        with Image.open(folder / file["filename"]) as picture:
            pictures.append(picture.copy())
    return pictures


def test_a_pipe_comes_apart_as_it_was_put_together() -> None:
    parts = tuple(object() for _ in range(5))
    assert FromBasicPipe().doit(*ToBasicPipe().doit(*parts)) == parts


@pytest.mark.parametrize("pipe", [None, 3, (), (1, 2, 3), "abcde"])
def test_what_is_no_pipe(pipe: Any) -> None:
    with pytest.raises(InputError, match=r"basic_pipe is not a BASIC_PIPE"):
        FromBasicPipe().doit(pipe)


def test_segments_come_apart_and_together_again() -> None:
    header, elements = ImpactDecomposeSEGS().doit((HEADER, [foreign(), foreign(label="hand")]))
    ((again, segments),) = ImpactAssembleSEGS().doit([header, (1, 1)], elements)
    assert again == HEADER
    assert [segment.label for segment in segments] == ["face", "hand"]
    assert all(type(segment) is Seg and segment.cropped_mask is MASK for segment in segments)


def test_parts_of_a_segment() -> None:
    seg, image, mask, region, box, net, confidence, label = ImpactFromSegElt().doit(
        foreign(cropped_image=CROPS[0].numpy())
    )
    assert type(seg) is Seg
    torch.testing.assert_close(image, CROPS[:1], rtol=0, atol=0)
    assert mask.shape == (1, 20, 30)
    assert (region, box, net, confidence, label) == ([20, 10, 50, 30], (25, 12, 45, 28), "net", 0.5, "face")


def test_a_segment_without_picture_and_mask() -> None:
    _, image, mask, *_ = ImpactFromSegElt().doit(foreign(cropped_mask=None))
    assert image is None
    assert mask.shape == (1, 20, 30)
    assert mask.min() == 1


def test_lists_are_joined_in_the_order_of_their_numbers() -> None:
    given = {f"segs{n}": (HEADER, [foreign(label=str(n))]) for n in (10, 2, 1)}
    ((header, segments),) = ImpactSEGSConcat().doit(**given, segs3=None)
    assert header == HEADER
    assert [segment.label for segment in segments] == ["1", "2", "10"]


def test_segments_of_different_pictures_are_not_joined() -> None:
    with pytest.raises(RegionError, match="segs1 refers to a 60x40 picture, but segs2 refers to a 50x40 picture"):
        ImpactSEGSConcat().doit(segs1=(HEADER, [foreign()]), segs2=((40, 50), [foreign()]))


def test_an_empty_list_of_any_size_joins() -> None:
    ((header, segments),) = ImpactSEGSConcat().doit(segs1=((0, 0), []), segs2=(HEADER, [foreign()]))
    assert (header, len(segments)) == (HEADER, 1)


def test_pictures_are_taken_off_and_nothing_else() -> None:
    given = foreign(cropped_image=CROPS)
    ((_, [segment]),) = RemoveImageFromSEGS().doit((HEADER, [given]))
    assert segment.cropped_image is None
    assert segment.control_net_wrapper == "net"
    assert given.cropped_image is CROPS


@pytest.mark.parametrize("carried", [None, torch.zeros(1, 20, 30, 3), torch.zeros(5, 20, 30, 3)])
def test_the_crops_of_all_frames_are_set(carried: Any) -> None:
    ((header, [segment]),) = SetDefaultImageForSEGS().doit((HEADER, [foreign(cropped_image=carried)]), FRAMES, True)
    assert header == HEADER
    assert segment.control_net_wrapper == "net"
    torch.testing.assert_close(segment.cropped_image, CROPS, rtol=0, atol=0)


def test_pictures_that_segments_carry_can_stay() -> None:
    carried = torch.zeros(1, 20, 30, 3)
    ((_, [kept, filled]),) = SetDefaultImageForSEGS().doit(
        (HEADER, [foreign(cropped_image=carried), foreign()]), FRAMES, False
    )
    assert kept.cropped_image is carried
    assert filled.cropped_image.shape == (3, 20, 30, 3)


def test_setting_a_picture_changes_neither_frames_nor_segments() -> None:
    frames = FRAMES.clone()
    ((_, [segment]),) = SetDefaultImageForSEGS().doit((HEADER, [foreign()]), frames, True)
    segment.cropped_image.zero_()
    assert torch.equal(frames, FRAMES)


def test_each_axis_is_scaled_by_its_own_ratio() -> None:
    ((header, [segment]),) = SetDefaultImageForSEGS().doit((HEADER, [foreign()]), torch.rand(1, 80, 30, 3), True)
    assert header == (80, 30)
    assert segment.crop_region == (10, 20, 25, 60)
    assert segment.bbox == (12, 24, 22, 56)
    assert segment.cropped_image.shape == (1, 40, 15, 3)
    assert segment.cropped_mask.shape == (40, 15)


def test_a_crop_beyond_the_picture_is_cut_with_its_mask(caplog: pytest.LogCaptureFixture) -> None:
    ((_, [segment]),) = SetDefaultImageForSEGS().doit((HEADER, [foreign(crop_region=(-10, 30, 20, 50))]), FRAMES, True)
    assert segment.crop_region == (0, 30, 20, 40)
    np.testing.assert_allclose(segment.cropped_mask, MASK[:10, 10:])
    assert "extends beyond" in caplog.text


@pytest.mark.parametrize("kind", [torch.Tensor, np.ndarray])
def test_a_list_of_what_segments_carry(kind: type) -> None:
    carried = CROPS if kind is torch.Tensor else CROPS.numpy()
    (images,) = SEGSToImageList().doit((HEADER, [foreign(cropped_image=carried), foreign()]), FRAMES[:1])
    torch.testing.assert_close(images[0], CROPS, rtol=0, atol=0)
    torch.testing.assert_close(images[1], CROPS[:1], rtol=0, atol=0)


@pytest.mark.parametrize("segments", [[], [foreign()]])
def test_where_nothing_is_to_be_seen_stands_a_black_square(segments: list[Any]) -> None:
    (images,) = SEGSToImageList().doit((HEADER, segments))
    assert [tuple(image.shape) for image in images] == [(1, 64, 64, 3)]


def test_preview_shows_the_mask_as_alpha(temporary: Path) -> None:
    result = SEGSPreview().doit((HEADER, [foreign(cropped_image=CROPS)]), True, 0.2)
    pictures = shown(result, temporary)
    assert [(picture.mode, picture.size) for picture in pictures] == [("RGBA", (30, 20))] * 3
    pixels = np.asarray(pictures[2]) / 255
    # 8 bits of a screen.
    np.testing.assert_allclose(pixels[..., :3], CROPS[2], atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(pixels[..., 3], np.maximum(MASK, 0.2), atol=0.5 / 255 + 1e-6)
    torch.testing.assert_close(result["result"][0][0], CROPS * torch.from_numpy(MASK)[None, ..., None])


def test_preview_without_alpha_shows_and_gives_the_crops(temporary: Path) -> None:
    result = SEGSPreview().doit((HEADER, [foreign()]), False, 0.2, FRAMES)
    assert [picture.mode for picture in shown(result, temporary)] == ["RGB"] * 3
    torch.testing.assert_close(result["result"][0][0], CROPS, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.from_numpy, np.asarray])
def test_preview_of_a_mask_for_every_frame(temporary: Path, kind: Any) -> None:
    moving = np.stack([MASK * 0, MASK, 1 - MASK])
    result = SEGSPreview().doit((HEADER, [foreign(cropped_mask=kind(moving))]), True, 0.0, FRAMES)
    alphas = [np.asarray(picture)[..., 3] / 255 for picture in shown(result, temporary)]
    np.testing.assert_allclose(alphas, moving, atol=0.5 / 255 + 1e-6)
    still = SEGSPreview().doit((HEADER, [foreign(cropped_mask=kind(moving))]), True, 0.0, FRAMES[:1])
    np.testing.assert_allclose(
        np.asarray(shown(still, temporary)[0])[..., 3] / 255, moving.max(axis=0), atol=0.5 / 255 + 1e-6
    )


def test_preview_of_a_crop_that_is_larger_than_its_mask(temporary: Path) -> None:
    (picture,) = shown(
        SEGSPreview().doit((HEADER, [foreign(cropped_image=np.ones((40, 60, 1)))]), True, 0.0), temporary
    )
    assert (picture.mode, picture.size) == ("RGBA", (60, 40))


def test_preview_leaves_out_what_cannot_be_seen(temporary: Path) -> None:
    result = SEGSPreview().doit((HEADER, [foreign()]), True, 0.2)
    assert result == {"ui": {"images": []}, "result": ([],)}
    assert not temporary.exists()


def test_previews_never_overwrite_one_another(temporary: Path) -> None:
    for _ in range(2):
        SEGSPreview().doit((HEADER, [foreign()] * 2), False, 0.2, FRAMES)
    assert len(list(temporary.iterdir())) == 12


def test_wrong_number_of_masks_names_the_segment(temporary: Path) -> None:
    segs = (HEADER, [foreign(), foreign(cropped_mask=np.stack([MASK, MASK]))])
    with pytest.raises(RegionError, match=r"Segment 1 \('face'\) cannot be shown: There are 2 masks for 3 frames"):
        SEGSPreview().doit(segs, True, 0.2, FRAMES)


def test_a_preview_that_cannot_be_written(temporary: Path) -> None:
    temporary.write_text("a file is in the way")
    with pytest.raises(OutputError, match=r"A preview cannot be written to .*temp"):
        SEGSPreview().doit((HEADER, [foreign()]), False, 0.2, FRAMES)


def test_preview_of_hints(temporary: Path) -> None:
    hinted = foreign(control_net_wrapper=SimpleNamespace(control_image=CROPS[:2]))
    bare = [foreign(control_net_wrapper=None), foreign(control_net_wrapper=SimpleNamespace(control_image=None))]
    result = SEGSPreviewCNet().doit((HEADER, [hinted, *bare]))
    assert [picture.size for picture in shown(result, temporary)] == [(30, 20), (30, 20), (64, 64), (64, 64)]
    (images,) = result["result"]
    assert len(images) == 1
    torch.testing.assert_close(images[0], CROPS[:2], rtol=0, atol=0)


@pytest.mark.parametrize(("denoise", "count"), [(1.0, 11), (0.5, 6), (0.25, 3), (0.001, 1), (0.0, 0)])
def test_gits_keeps_the_last_steps(denoise: float, count: int) -> None:
    whole = GITSSchedulerFuncProvider().doit(1.2, 1.0)[0](None, "euler", 10)
    kept = GITSSchedulerFuncProvider().doit(1.2000000000000002, denoise)[0](None, "euler", 10)
    assert torch.equal(kept, whole[len(whole) - count :])


def test_gits_names_its_coefficients() -> None:
    with pytest.raises(UnknownNameError, match=r"GITS coefficient named 1\.22"):
        GITSSchedulerFuncProvider().doit(1.22, 1.0)
