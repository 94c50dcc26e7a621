"""What the pipeline relies on, for every engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from redetail.engines import CropSource, Engine, FakeEngine, Request, enhance_arrays, load_engine, run_checked
from redetail.engines.base import Read
from redetail.errors import Cancelled, InputError, RegionError, SettingsError, UnknownNameError
from redetail.progress import CancelToken, Progress
from redetail.settings import Settings, resolve

Array = NDArray[np.float32]
# One step of a float32 network evaluated in batches of another size, amplified by the steps.
SAME_NOISE = 2e-3


@pytest.fixture(scope="module", params=["fake", "diffusers", "restoration", "bundled", "wan"])
def engine(request: pytest.FixtureRequest) -> Engine:
    match request.param:
        case "fake":
            return FakeEngine()
        case "bundled":
            return load_engine(device="cpu")
        case "wan":
            return load_engine(request.getfixturevalue("wan_folder"), device="cpu")
        case "diffusers":
            return load_engine(request.getfixturevalue("model_folder"), device="cpu")
        case _:
            return load_engine(request.getfixturevalue("restoration_folder"), device="cpu")


def asked(engine: Engine, **values: Any) -> Settings:
    quick = {"steps": 2, "cfg": 2.0, "prompt": "a face", "denoise": 0.6}
    return resolve({**quick, **values}, engine.capabilities.defaults)


def some_crops(engine: Engine, frames: int = 3, rows: int = 3, columns: int = 4) -> Array:
    side = side_of(engine)
    return np.random.default_rng(5).random((frames, rows * side, columns * side, 3), dtype=np.float32)


def side_of(engine: Engine) -> int:
    """A multiple of the engine's size multiple that is large enough for all its levels."""
    multiple = engine.capabilities.size_multiple
    return multiple * -(-16 // multiple)


def middle(crops: Array) -> Array:
    mask = np.zeros((1, *crops.shape[1:3]), np.float32)
    mask[:, 8:-8, 8:-8] = 1
    return mask


def enhanced(engine: Engine, crops: Array, mask: Array | None = None, first_frame: int = 0, **values: Any) -> Array:
    mask = middle(crops) if mask is None else mask
    return enhance_arrays(engine, crops, mask, asked(engine, **values), first_frame=first_frame)


def in_ranges(engine: Engine, crops: Array, mask: Array, step: int, **values: Any) -> tuple[Array, list[int]]:
    """The result, and how many frames each write held, where ranges are read ``step`` frames at a time."""
    pieces: list[Array] = []

    def pieced(pixels: Array) -> Read:
        """Reads no more than ``step`` frames at once, as a store on disk may."""

        def read(start: int, stop: int) -> Array:
            return np.concatenate([pixels[at : min(stop, at + step)] for at in range(start, stop, step)])

        return read

    request = Request(
        crops=replace(CropSource.of(crops), read=pieced(crops)),
        mask=pieced(mask),
        write=lambda start, pixels: pieces.append(pixels.copy()),
        settings=asked(engine, **values),
        shared_mask=len(mask) == 1,
    )
    run_checked(engine, request)
    return np.concatenate(pieces), [len(piece) for piece in pieces]


@pytest.mark.parametrize(("frames", "rows", "columns"), [(3, 2, 5), (1, 3, 3), (2, 5, 2)])
def test_shape_type_and_range(engine: Engine, frames: int, rows: int, columns: int) -> None:
    crops = some_crops(engine, frames, rows, columns)
    result = enhanced(engine, crops)
    assert result.shape == crops.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_something_changes_inside_the_mask(engine: Engine) -> None:
    crops = some_crops(engine)
    inside = middle(crops)[0] > 0
    assert np.abs(enhanced(engine, crops, denoise=1.0) - crops)[:, inside].mean() > 1e-3


def test_more_frames_than_a_context_window(engine: Engine) -> None:
    length = engine.capabilities.context_length
    assert length is not None
    crops = some_crops(engine, length + 3, 1, 2)
    result = enhanced(engine, crops, np.ones((1, *crops.shape[1:3]), np.float32), steps=1)
    assert result.shape == crops.shape
    assert np.isfinite(result).all()


def test_one_mask_or_one_per_frame(engine: Engine) -> None:
    crops = some_crops(engine)
    shared = middle(crops)
    np.testing.assert_array_equal(
        enhanced(engine, crops, shared), enhanced(engine, crops, np.repeat(shared, len(crops), axis=0))
    )


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("each", [False, True], ids=["one mask", "a mask for each"])
def test_ranges_of_any_size_give_what_arrays_give(engine: Engine, step: int, each: bool) -> None:
    crops = some_crops(engine, 5, 1, 2)
    mask = np.ones((1, *crops.shape[1:3]), np.float32) * np.float32(0.7)
    mask = mask * np.linspace(0, 1, 5, dtype=np.float32)[:, None, None] if each else mask
    result, written = in_ranges(engine, crops, mask, step)
    np.testing.assert_array_equal(result, enhanced(engine, crops, mask))
    assert sum(written) == len(crops)


def test_a_closed_mask_is_handed_back_in_ranges(engine: Engine) -> None:
    crops = some_crops(engine, 5, 1, 1)
    result, _ = in_ranges(engine, crops, np.zeros((5, *crops.shape[1:3]), np.float32), 2)
    np.testing.assert_array_equal(result, crops)


def test_threads_that_share_an_engine_get_what_they_would_get_alone(engine: Engine) -> None:
    crops = some_crops(engine, 2)
    alone = [enhanced(engine, crops, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: enhanced(engine, crops, seed=seed), range(4)))
    np.testing.assert_array_equal(together, alone)


def test_equal_seeds_give_equal_results(engine: Engine) -> None:
    crops = some_crops(engine)
    once = enhanced(engine, crops, seed=4)
    np.testing.assert_array_equal(once, enhanced(engine, crops, seed=4))
    assert np.abs(once - enhanced(engine, crops, seed=5)).max() > 1e-4


def test_the_random_numbers_of_others_are_left_alone(engine: Engine) -> None:
    crops = some_crops(engine)
    before = torch.get_rng_state()
    enhanced(engine, crops)
    assert torch.equal(before, torch.get_rng_state())


def test_a_zero_mask_gives_the_crops_back(engine: Engine) -> None:
    crops = some_crops(engine)
    result = enhanced(engine, crops, np.zeros((1, *crops.shape[1:3]), np.float32))
    np.testing.assert_array_equal(result, crops)
    assert not np.shares_memory(result, crops)


def test_input_is_only_read(engine: Engine) -> None:
    crops = some_crops(engine)
    mask = middle(crops)
    crops.flags.writeable = mask.flags.writeable = False  # as a file mapped into memory is
    copy = crops.copy()
    enhanced(engine, crops, mask)
    np.testing.assert_array_equal(crops, copy)


# Frames of Wan share latents: tests/engines/wan/test_engine.py compares those.
@pytest.mark.parametrize("engine", ["fake", "diffusers", "restoration", "bundled"], indirect=True, scope="module")
def test_a_part_of_a_segment_gets_the_noise_of_the_whole(engine: Engine) -> None:
    """In a clip that stands still, with windows of one frame, a frame's result shows its own noise alone."""
    crops = np.repeat(some_crops(engine, 1), 4, axis=0)
    alone: dict[str, Any] = {"context_length": 1, "context_overlap": 0, "denoise": 1.0}
    whole = enhanced(engine, crops, **alone)
    part = enhanced(engine, crops[2:], first_frame=2, **alone)
    assert np.abs(part - whole[2:]).max() < SAME_NOISE
    shifted = enhanced(engine, crops[2:], first_frame=1, **alone)
    assert np.abs(shifted - whole[2:]).max() > 5 * SAME_NOISE


@pytest.mark.parametrize("context", [{}, {"context_length": 2, "context_overlap": 1}], ids=["whole", "windows"])
@pytest.mark.parametrize("masked", [True, False])
def test_progress_rises_to_its_end(engine: Engine, context: dict[str, int], masked: bool) -> None:
    crops = some_crops(engine, 4)
    mask = middle(crops) * np.float32(masked)
    reports: list[Progress] = []
    enhance_arrays(engine, crops, mask, asked(engine, steps=3, **context), progress=reports.append)
    done = [report.done for report in reports]
    assert done == sorted(set(done))
    assert len({(report.total, report.stage, report.unit) for report in reports}) == 1
    assert reports[-1].done == reports[-1].total > 0


@pytest.mark.parametrize("after", [1, 2])
def test_cancelled_within_one_call(engine: Engine, after: int) -> None:
    crops, cancel, reports = some_crops(engine), CancelToken(), []

    def watch(progress: Progress) -> None:
        reports.append(progress)
        if len(reports) == after:
            cancel.cancel()

    with pytest.raises(Cancelled):
        enhance_arrays(engine, crops, middle(crops), asked(engine, steps=50), progress=watch, cancel=cancel)
    assert len(reports) == after


def test_cancelled_before_it_begins(engine: Engine) -> None:
    crops, cancel = some_crops(engine), CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        enhance_arrays(engine, crops, middle(crops), asked(engine), cancel=cancel, progress=pytest.fail)


def test_unknown_names_list_what_exists(engine: Engine) -> None:
    crops = some_crops(engine)
    with pytest.raises(UnknownNameError, match=r"no sampler named 'eulr'; did you mean 'euler'\? Choose one of: "):
        enhanced(engine, crops, sampler="eulr")
    with pytest.raises(UnknownNameError, match=r"no scheduler named 'karas'; did you mean 'karras'\? Choose one of: "):
        enhanced(engine, crops, scheduler="karas")


def test_every_sampler_and_scheduler_runs(engine: Engine) -> None:
    crops = some_crops(engine, 1, 1, 1)
    mask = np.ones((1, *crops.shape[1:3]), np.float32)
    abilities = engine.capabilities
    pairs = [(name, "normal") for name in abilities.samplers] + [("euler", name) for name in abilities.schedulers]
    for sampler, scheduler in pairs:
        guided = "cfg_pp" in sampler or sampler == "euler"  # the others take one prediction, guided or not
        cfg = 2.0 if guided else 1.0
        result = enhanced(engine, crops, mask, sampler=sampler, scheduler=scheduler, steps=3, cfg=cfg)
        assert np.isfinite(result).all(), (sampler, scheduler)


def test_sizes_that_do_not_fit_are_named(engine: Engine) -> None:
    crops = some_crops(engine)[:, :-1]
    multiple, (height, width) = engine.capabilities.size_multiple, crops.shape[1:3]
    with pytest.raises(InputError, match=rf"{width}x{height} pixels.*multiples of {multiple}"):
        enhanced(engine, crops)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda crops: np.where(crops == crops[1, 2, 3, 0], np.nan, crops), "Crop 1 .* not finite"),
        (lambda crops: crops * 255, "Crop 0 has values from .* between 0 and 1"),
        (lambda crops: (crops * 255).astype(np.uint8), "not uint8"),
        (lambda crops: crops[0], r"shape \(frames, height, width, 3\)"),
        (lambda crops: crops[:0], r"shape \(frames, height, width, 3\)"),
        (lambda crops: crops[..., :1], r"shape \(frames, height, width, 3\)"),
    ],
    ids=["nan", "other scale", "integers", "one frame", "no frames", "grey"],
)
def test_crops_that_cannot_be_used(engine: Engine, spoil: Any, message: str) -> None:
    crops = some_crops(engine)
    with pytest.raises(InputError, match=message):
        enhance_arrays(engine, spoil(crops), middle(crops), asked(engine))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda mask: mask * np.nan, "Mask 0 has values from nan"),
        (lambda mask: mask * 255, "from 0 to 255"),
        (lambda mask: mask - 1, "from -1 to 0"),
        (lambda mask: mask.astype(np.uint8), "not uint8"),
        (lambda mask: mask[0], "3 crops of"),
        (lambda mask: mask[:, 1:], "3 crops of"),
        (lambda mask: np.repeat(mask, 2, axis=0), "3 crops of"),
    ],
    ids=["nan", "255", "negative", "integers", "no frame axis", "other size", "other length"],
)
def test_masks_that_cannot_be_used(engine: Engine, spoil: Any, message: str) -> None:
    crops = some_crops(engine)
    with pytest.raises(RegionError, match=message):
        enhance_arrays(engine, crops, spoil(middle(crops)), asked(engine))


def test_an_overlap_as_long_as_the_window_is_refused(engine: Engine) -> None:
    length = engine.capabilities.context_length
    assert length is not None
    with pytest.raises(SettingsError, match="context-overlap is"):
        enhanced(engine, some_crops(engine), context_overlap=length)


def test_capabilities_are_complete(engine: Engine) -> None:
    abilities = engine.capabilities
    assert abilities.name
    assert {"euler", "dpmpp_2m", "dpmpp_2m_sde", "ddim", "lcm"} <= set(abilities.samplers)
    assert {"normal", "karras", "simple", "sgm_uniform", "exponential"} <= set(abilities.schedulers)
    resolve({}, abilities.defaults)
