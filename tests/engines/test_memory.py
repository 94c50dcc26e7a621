"""How memory and speed are chosen from what a device has, and what may be asked for."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from redetail.engines import memory
from redetail.engines.architectures.sdxl import SDXL
from redetail.engines.architectures.stable_diffusion import STABLE_DIFFUSION
from redetail.engines.memory import GIB, Memory, Modes, choose_modes, device_memory
from redetail.errors import SettingsError, UnknownNameError

SMALL, LARGE = STABLE_DIFFUSION.footprint, SDXL.footprint
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
HALF, FULL = torch.float16, torch.float32


@pytest.mark.parametrize(
    ("gib", "attention", "tile", "offload"),
    [
        (2, "sliced", 256, True),
        (5, "sdpa", 512, True),
        (7, "sdpa", 0, True),
        (8, "sdpa", 0, False),
        (140, "sdpa", 0, False),
    ],
)
def test_less_memory_on_a_card_is_used_more_sparingly(gib: int, attention: str, tile: int, offload: bool) -> None:
    modes = choose_modes(Memory(), CUDA, HALF, SMALL, available=gib * GIB)
    assert (modes.attention, modes.vae_tile, modes.offload, modes.compile) == (attention, tile, offload, False)
    assert modes.channels_last


def test_the_cpu_has_one_memory_for_all() -> None:
    modes = choose_modes(Memory(), CPU, FULL, SMALL, available=4 * GIB)
    assert (modes.offload, modes.vae_tile, modes.attention, modes.channels_last) == (False, 0, "sdpa", False)
    assert modes.vae_pixels is None


def test_batches_of_the_vae_grow_with_the_memory() -> None:
    frames = [
        choose_modes(Memory(), CUDA, HALF, SMALL, available=gib * GIB).vae_pixels // 512**2
        for gib in (2, 8, 16, 64, 1000)
    ]
    assert frames == [1, 1, 2, 8, 16]


def test_windows_shorten_where_the_memory_is_small_and_never_below_four() -> None:
    windows = [choose_modes(Memory(), CUDA, HALF, SMALL, available=gib * GIB).window for gib in (1, 3, 80)]
    assert windows[0] == 4
    assert 4 < windows[1] < 16
    assert windows[2] is None
    half, full = (choose_modes(Memory(), CUDA, dtype, SMALL, available=3 * GIB).window for dtype in (HALF, FULL))
    assert full < half


def test_pictures_of_another_size_make_other_windows() -> None:
    """Of Stable Diffusion XL a frame has four times the pixels: 0.75 GiB in half precision with guidance."""
    windows = [choose_modes(Memory(), CUDA, HALF, one, available=12 * GIB).window for one in (SMALL, LARGE, None)]
    assert windows == [None, 8, None]
    assert choose_modes(Memory(), CUDA, HALF, LARGE, available=80 * GIB).window is None


def test_the_work_of_a_window_grows_with_its_pixels() -> None:
    small, large = (one.working(16, one.side**2, HALF.itemsize) for one in (SMALL, LARGE))
    assert 3.5 * GIB < small < 4.5 * GIB
    assert 12 * GIB < large < 13 * GIB


def test_what_is_asked_for_wins() -> None:
    asked = Memory(attention="sliced", channels_last=False, compile=True, vae_batch=3, vae_tile=0, offload=False)
    modes = choose_modes(asked, CUDA, HALF, SMALL, available=2 * GIB)
    assert replace(modes, vae_pixels=None, window=None) == Modes(
        attention="sliced", channels_last=False, compile=True, vae_batch=3, vae_tile=0, offload=False
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"vae_batch": 0}, "vae-batch is 0; it must be a whole number of at least 1."),
        ({"vae_tile": -64}, "vae-tile is -64; it must be a whole number of at least 0."),
        ({"vae_tile": 100}, "vae-tile is 100; it must be a multiple of 64 pixels, or 0."),
        ({"vae_tile": 64.5}, "vae-tile is 64.5; it must be a whole number of at least 0."),
    ],
)
def test_numbers_that_cannot_be(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Memory(**asked)
    assert str(caught.value) == sentence


def test_an_unknown_attention_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="no attention named 'flash'; choose one of: sdpa, sliced"):
        Memory(attention="flash")  # type: ignore[arg-type]


def test_only_what_was_asked_for_is_kept() -> None:
    assert Memory().as_dict() == {}
    assert Memory(offload=False, vae_tile=512).as_dict() == {"vae_tile": 512, "offload": False}
    assert [item.name for item in fields(Memory) if item.default is not None] == []


def test_activations_grow_with_frames_pixels_rows_and_precision() -> None:
    one = SMALL.activations(1, 512 * 512, HALF.itemsize, rows=1)
    assert (
        SMALL.activations(16, 256 * 256, FULL.itemsize) == 16 * one
    )  # a quarter of the pixels, twice the bytes, two rows


def test_a_limit_of_the_container_is_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert GIB // 8 < device_memory(CPU) < 2**48
    monkeypatch.setattr(memory, "physical_memory", lambda: 3 * GIB)
    assert device_memory(CPU) == 3 * GIB


def test_a_limit_is_bytes_or_a_text() -> None:
    assert Memory(limit=5).limit == 5
    assert Memory(limit="1.5 GiB").as_dict() == {"limit": 3 * 2**29}  # type: ignore[arg-type]
    for wrong in ("much", "0GB", -1, True, 2.5):
        with pytest.raises(SettingsError, match=r"memory is .*; give a size such as 20GB"):
            Memory(limit=wrong)  # type: ignore[arg-type]
