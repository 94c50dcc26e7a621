"""Clips compared: a softened, a sharpened and a flickering copy of a real clip come out as what they are."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from redetail.errors import Cancelled, InputError
from redetail.evaluate.comparison import compare
from redetail.evaluate.verdict import judge, order
from redetail.progress import CancelToken
from redetail.region import Region, Size
from redetail.video import array_source
from tests.clips import clip_frames

FACE = (150.0, 90.0, 222.0, 190.0)
COUNT = 4
ORIGINAL = np.stack(clip_frames("guitarist")[:COUNT])


def region(box: tuple[float, ...] = FACE, start: int = 0, count: int = COUNT) -> Region:
    path = np.repeat([[110.0, 60.0]], count, axis=0)
    return Region("face", 0.9, start, Size(160, 160), path, np.repeat([box], count, axis=0))


def softened(frames: np.ndarray) -> np.ndarray:
    size = frames.shape[2], frames.shape[1]
    half = [cv2.resize(f, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA) for f in frames]
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_CUBIC) for f in half])


SOFT = softened(ORIGINAL)


def pasted_original() -> np.ndarray:
    """The original's face on the softened clip, with a feather."""
    mask = np.zeros(ORIGINAL.shape[1:3], np.float32)
    mask[90:190, 150:222] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), 5)[..., None]
    return np.rint(SOFT + (ORIGINAL.astype(np.float32) - SOFT) * mask).astype(np.uint8)


def flickering() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 12, (COUNT, 44, 44, 1)).astype(np.float32)
    wide = np.stack([cv2.resize(n, (350, 350), interpolation=cv2.INTER_NEAREST) for n in noise])[..., None]
    return np.clip(np.rint(SOFT + wide), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def without():
    results = {"restored": pasted_original(), "flickering": flickering(), "same": SOFT}
    return compare(array_source(SOFT), {n: array_source(f) for n, f in results.items()}, [region()])


def test_without_an_original_detail_wins_and_flicker_loses(without) -> None:
    assert without.ranking[0] == "restored"
    assert without.ranking[-1] == "flickering"
    restored, flicker, same = (clip.verdicts[0] for clip in without.results)
    assert restored.better == 1
    assert "sharper" in restored.sentence
    assert flicker.better != 1
    assert any("flicker" in reason for reason in flicker.reasons)
    assert same.sentence == "No gain: the result looks like the source."


def test_the_source_stands_first_with_a_score_of_nothing(without) -> None:
    assert without.clips[0].name == "source"
    assert without.clips[0].score == 0
    figures = without.clips[0].subjects[0]
    assert figures.flicker_ratio == pytest.approx(1)
    assert figures.seam is None
    assert [frame.frame for frame in figures.frames] == list(range(COUNT))
    assert figures.frames[0].flicker is None


def test_with_an_original_decibels_decide() -> None:
    against = compare(
        array_source(SOFT), {"restored": array_source(pasted_original())}, [region()], array_source(ORIGINAL)
    )
    source, restored = (clip.subjects[0] for clip in against.clips)
    assert restored.psnr > source.psnr + 3
    assert restored.ssim > source.ssim
    assert restored.fine > source.fine
    assert against.original
    assert order(source, [source, restored]) == [1, 0]
    assert "closer to the original" in judge(source, restored).sentence
    assert judge(restored, source).better == -1


def test_a_larger_result_is_compared_at_its_own_size() -> None:
    large = np.stack([cv2.resize(f, (700, 700), interpolation=cv2.INTER_LANCZOS4) for f in SOFT[:2]])
    small = compare(array_source(SOFT[:2]), {"large": array_source(large)}, [region(count=2)])
    assert small.size == Size(700, 700)
    own, other = (clip.subjects[0].sharpness for clip in small.clips)
    assert own == pytest.approx(other, rel=0.15)  # Lanczos with three lobes, and OpenCV's with four on 8 bits


def test_figures_as_a_document_are_json_with_a_version(without) -> None:
    document = json.loads(json.dumps(without.as_document()))
    assert document["evaluation_version"] == 1
    assert document["ranking"] == without.ranking
    assert document["clips"][1]["subjects"][0]["sharpness"] == without.results[0].subjects[0].sharpness


def test_a_subject_that_never_shows_has_no_figures() -> None:
    outside = replace(region(), boxes=np.repeat([[400.0, 10, 420, 30]], COUNT, axis=0))
    compared = compare(array_source(SOFT), {"same": array_source(SOFT)}, [outside])
    assert compared.clips[0].subjects == (None,)
    assert compared.results[0].verdicts == (None,)


def test_clips_that_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="short has only 2 frames"):
        compare(array_source(SOFT), {"short": array_source(SOFT[:2])}, [region()])
    with pytest.raises(InputError, match="same aspect ratio"):
        compare(array_source(SOFT), {"wide": array_source(SOFT[:, :200])}, [region()])


def test_it_stops_when_asked() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        compare(array_source(SOFT), {"same": array_source(SOFT)}, [region()], cancel=token)
