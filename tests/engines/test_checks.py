"""What is refused before any work is done for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from redetail.engines.base import Capabilities
from redetail.engines.checks import all_finite, check_settings
from redetail.errors import ModelError, SettingsError
from redetail.settings import Settings

ABILITIES = Capabilities(
    name="any", size_multiple=8, context_length=16, samplers=("euler",), schedulers=("normal",), uses_loras=True
)


def test_a_frame_given_twice() -> None:
    check_settings(Settings(prompt="0: a; 3: b"), ABILITIES)
    for name in ("prompt", "negative", "refiner_prompt", "refiner_negative"):
        with pytest.raises(SettingsError, match="has two texts for frame 3"):
            check_settings(Settings(**{name: "3: a; 3: b"}), ABILITIES)


def test_a_file_that_is_no_lora(tmp_path: Path) -> None:
    missing, other = tmp_path / "none.safetensors", tmp_path / "word.safetensors"
    save_file({"emb_params": torch.zeros(1, 768)}, other)
    with pytest.raises(ModelError, match="There is no weight file"):
        check_settings(Settings(loras=(str(missing),)), ABILITIES)
    with pytest.raises(ModelError, match=r"is a textual inversion embedding .* give a LoRA"):
        check_settings(Settings(loras=(f"{other}:0.5",)), ABILITIES)
    check_settings(Settings(loras=(f"{missing}:0",)), ABILITIES)


@pytest.mark.parametrize("name", ["normal", "GITS[coeff=0.85]", "14.6, 7.2, 3.1, 0"])
def test_schedulers_that_can_be_computed_are_accepted(name: str) -> None:
    check_settings(Settings(scheduler=name), ABILITIES)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("karas", "no scheduler named 'karas'; choose one of: normal"),
        ("GITS[coeff=0.99]", r"no GITS coefficient named .*0\.99.*; choose one of: 0\.80, 0\.85"),
        ("14.6, 20, 0", "sigmas has 20 at position 2, after 14.6"),
    ],
)
def test_other_schedulers_are_refused_before_any_work(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_settings(Settings(scheduler=name), ABILITIES)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_not_finite_is_found(value: float, dtype: torch.dtype) -> None:
    values = torch.linspace(-2, 2, 60, dtype=dtype).reshape(3, 4, 5)
    assert all_finite(values)
    values[1, 2, 3] = value
    assert not all_finite(values)
