"""The shipped weights: what prompts, guidance and denoise do to damage of one kind each, on a clip never trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from redetail.engines import Engine, enhance_arrays, load_engine
from redetail.engines.restoration.dial import FAITHFUL
from redetail.settings import resolve

cv2 = pytest.importorskip("cv2")
av = pytest.importorskip("av")

FIDELITY = {"denoise": FAITHFUL, "cfg": 1.15}  # where PSNR is highest; the defaults trade some of it for detail
CLIPS = Path(__file__).resolve().parents[2] / "data" / "clips"
Crops = NDArray[np.float32]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(device="cpu")


@pytest.fixture(scope="module")
def sharp() -> Crops:
    """Four frames of 128x128 pixels in the middle of a shipped clip."""
    with av.open(str(CLIPS / "guitarist.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(4))]  # noqa: B905
    return np.stack(frames)[:, 76:204, 106:234].astype(np.float32) / 255


def halved(clip: Crops) -> Crops:
    small = [cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in clip]
    whole = [cv2.resize(frame, clip.shape[2:0:-1], interpolation=cv2.INTER_CUBIC) for frame in small]
    return np.clip(np.stack(whole), 0, 1)


def a_third(clip: Crops) -> Crops:
    """At 1 / 3.4 of the size through JPEG 75, and back."""
    flags, size = [cv2.IMWRITE_JPEG_QUALITY, 75], round(clip.shape[1] / 3.4)
    small = [cv2.resize(np.rint(f * 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA) for f in clip]
    coded = [cv2.imdecode(cv2.imencode(".jpg", frame, flags)[1], cv2.IMREAD_COLOR) for frame in small]
    whole = [cv2.resize(frame, clip.shape[2:0:-1], interpolation=cv2.INTER_CUBIC) for frame in coded]
    return np.stack(whole).astype(np.float32) / 255


def noisy(clip: Crops) -> Crops:
    noise = np.random.default_rng(0).standard_normal(clip.shape, np.float32) * np.float32(8 / 255)
    return np.clip(clip + noise, 0, 1)


def coded(clip: Crops) -> Crops:
    flags = [cv2.IMWRITE_JPEG_QUALITY, 50]
    files = [cv2.imencode(".jpg", np.rint(frame * 255).astype(np.uint8), flags)[1] for frame in clip]
    return np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR) for file in files]).astype(np.float32) / 255


def restored(engine: Engine, crops: Crops, prompt: str = "", **values: Any) -> Crops:
    settings = resolve({"prompt": prompt, **values}, engine.capabilities.defaults)
    return enhance_arrays(engine, crops, np.ones((1, *crops.shape[1:3]), np.float32), settings)


def gain(output: Crops, crops: Crops, sharp: Crops) -> float:
    """PSNR in dB over leaving the crops alone."""
    return float(10 * np.log10(np.square(crops - sharp).mean() / np.square(output - sharp).mean()))


def detail(clip: Crops) -> float:
    return float(np.abs(np.diff(clip, axis=1)).mean() + np.abs(np.diff(clip, axis=2)).mean())


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_keep_gives_the_crop_back(engine: Engine, sharp: Crops, sampler: str) -> None:
    crops = halved(sharp)
    assert np.array_equal(restored(engine, crops, "keep", sampler=sampler), crops)
    assert np.array_equal(restored(engine, crops, cfg=0.0, sampler=sampler), crops)


def test_what_is_sharp_is_left_alone(engine: Engine, sharp: Crops) -> None:
    luma = (sharp @ np.array([0.299, 0.587, 0.114], np.float32)) * 255
    high = np.stack([cv2.blur(np.abs(cv2.Laplacian(frame, cv2.CV_32F)), (25, 25)) for frame in luma])
    there = high >= np.quantile(high, 0.8)
    for denoise in (FAITHFUL, 0.8, 1.0):
        change = np.abs(restored(engine, sharp, denoise=denoise) - sharp).mean(axis=-1) * 255
        assert change[there].mean() < 0.5
        assert change.mean() < 0.5
    assert (np.abs(restored(engine, halved(sharp)) - halved(sharp)).mean(axis=-1) * 255)[there].mean() > 2


def test_sharpening_is_for_soft_pictures(engine: Engine, sharp: Crops) -> None:
    crops = halved(sharp)
    output = restored(engine, crops, "sharpen", **FIDELITY)
    assert gain(output, crops, sharp) > 0.1
    assert detail(output) > 1.02 * detail(crops)
    other = restored(engine, crops, "denoise, deblock", **FIDELITY)
    assert gain(output, crops, sharp) > gain(other, crops, sharp) + 0.1


def test_what_is_invented_is_detail(engine: Engine, sharp: Crops) -> None:
    crops = a_third(sharp)
    outputs = [restored(engine, crops, denoise=value, cfg=1.15) for value in (FAITHFUL, 0.75, 1.0)]
    details = [detail(output) / detail(sharp) for output in outputs]
    assert details == sorted(details)
    assert details[0] + 0.05 < details[-1] < 1
    assert all(gain(output, crops, sharp) > 1.5 for output in outputs)
    usual = restored(engine, crops)
    assert np.array_equal(usual, restored(engine, crops, denoise=0.8, cfg=1.15))
    assert gain(usual, crops, sharp) > 1.5


def test_denoising_is_for_noisy_pictures(engine: Engine, sharp: Crops) -> None:
    crops = noisy(sharp)
    output = restored(engine, crops, "denoise")
    assert gain(output, crops, sharp) > 0.2
    assert detail(output) < 0.97 * detail(crops)
    assert gain(output, crops, sharp) > gain(restored(engine, crops, "sharpen"), crops, sharp) + 0.2


def test_deblocking_is_for_compressed_pictures(engine: Engine, sharp: Crops) -> None:
    crops = coded(sharp)
    output = restored(engine, crops, "deblock")
    assert gain(output, crops, sharp) > 0.05
    assert detail(output) < detail(crops)
    assert gain(output, crops, sharp) > gain(restored(engine, crops, "sharpen"), crops, sharp) + 0.1


def test_without_words_everything_is_restored(engine: Engine, sharp: Crops) -> None:
    crops = halved(sharp)
    everything = restored(engine, crops, "sharpen, denoise, deblock")
    assert np.array_equal(restored(engine, crops), everything)
    assert not np.array_equal(everything, restored(engine, crops, "sharpen"))


def test_weights_and_guidance_scale_what_is_added(engine: Engine, sharp: Crops) -> None:
    crops = halved(sharp) * 0.8 + 0.1  # far from black and white, where values are cut off
    whole = restored(engine, crops, "sharpen", cfg=1.0, denoise=FAITHFUL) - crops
    half = restored(engine, crops, "(sharpen:0.5)", cfg=1.0, denoise=FAITHFUL) - crops
    double = restored(engine, crops, "sharpen", cfg=2.0, denoise=FAITHFUL) - crops
    close = {"atol": 2e-4, "rtol": 0}  # local means are held to half a level, which is not linear
    np.testing.assert_allclose(half, whole / 2, **close)
    inside = np.abs(double) < 0.09
    np.testing.assert_allclose(double[inside], 2 * whole[inside], **close)
    assert inside.mean() > 0.9


def test_a_negative_prompt_pushes_away(engine: Engine, sharp: Crops) -> None:
    crops = halved(sharp)
    plain = restored(engine, crops, "denoise, deblock", cfg=1.5)
    pushed = restored(engine, crops, "denoise, deblock", negative="sharpen", cfg=1.5)
    assert detail(pushed) < 0.99 * detail(plain)
    alone = restored(engine, crops, "denoise, deblock", negative="sharpen", cfg=1.0)
    np.testing.assert_allclose(alone, restored(engine, crops, "denoise, deblock", cfg=1.0), atol=1e-6)


def test_unknown_words_change_nothing(engine: Engine, sharp: Crops) -> None:
    crops = halved(sharp)
    output = restored(engine, crops, "sharpen my portrait")
    assert np.array_equal(output, restored(engine, crops, "sharpen"))


def test_denoise_is_a_dial_from_the_crop_to_the_restored(engine: Engine, sharp: Crops) -> None:
    crops = halved(sharp)
    dial = (0.04, 0.2, FAITHFUL)
    for steps in (1, 2):
        changes = [np.abs(restored(engine, crops, denoise=value, steps=steps) - crops).mean() for value in dial]
        assert changes == sorted(changes)
        assert changes[0] < 0.1 * changes[-1]
