"""Completing settings: what was asked for, presets, and what cannot be."""

import json
from typing import Any

import pytest

from redetail.engines.architectures.stable_diffusion import PRESETS
from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling import sampler_names, scheduler_names
from redetail.settings import Settings, denoise_points, resolve, with_preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_everything_that_belongs_together(name: str) -> None:
    preset = PRESETS[name]
    assert set(preset) == {"sampler", "scheduler", "steps", "cfg"}
    assert preset["sampler"] in sampler_names()
    assert preset["scheduler"] in scheduler_names()
    settings = resolve({"preset": name}, {"steps": 99, "cfg": 50.0, "denoise": 0.25}, PRESETS)
    assert {key: getattr(settings, key) for key in preset} == preset
    assert settings.denoise == 0.25


def test_what_is_given_beside_a_preset_wins() -> None:
    given = {"preset": "lightning", "steps": 8, "cfg": None}
    assert with_preset(given, PRESETS) == {**PRESETS["lightning"], "steps": 8}
    assert resolve(given, {}, PRESETS) == Settings(sampler="euler", scheduler="sgm_uniform", steps=8, cfg=1.0)


def test_a_subject_takes_a_preset_over_settings_that_are_complete() -> None:
    base = resolve({"preset": "lcm", "prompt": "a face"}, {}, PRESETS)
    settings = resolve({"preset": "quality"}, base.as_dict(), PRESETS)
    assert (settings.prompt, settings.sampler, settings.steps) == ("a face", "dpmpp_2m", 25)


def test_an_unknown_preset_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="no preset named 'turbo'; choose one of: lcm, lightning, quality"):
        resolve({"preset": "turbo"}, {}, PRESETS)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ({}, 1.5),
        ({"guide_size": 512}, 0.0),
        ({"guide_size": 512, "max_upscale": 2.0}, 2.0),
        ({"guide_size": None}, 1.5),
    ],
)
def test_a_guide_size_that_is_asked_for_lifts_the_models_own_max_upscale(requested, expected) -> None:
    assert resolve(requested, {"guide_size": 256.0, "max_upscale": 1.5}).max_upscale == expected


def test_settings_survive_json() -> None:
    settings = Settings(loras=("a.safetensors:0.5",), refiner_prompt="sharp")
    stored = json.loads(json.dumps(settings.as_dict()))
    assert stored == settings.as_dict()
    assert Settings(**stored) == settings


@pytest.mark.parametrize("loras", ["a.safetensors", [1], 3, None])
def test_loras_are_a_list_of_texts(loras: Any) -> None:
    with pytest.raises(SettingsError, match="lora must be a list of strings"):
        Settings(loras=loras)


def test_denoise_by_size_is_sizes_that_grow_and_a_denoise_for_each() -> None:
    assert denoise_points("") == ()
    assert denoise_points("30:1.0, 120:0.35") == ((30, 1), (120, 0.35))
    for typed in (
        "30",
        "30:1:2",
        "a:1",
        "30:1,20:0.5",
        "30:1,30:0.5",
        "30:0",
        "30:1.1",
        "30:nan",
        "nan:1",
        "-3:1",
        ",",
    ):
        with pytest.raises(SettingsError, match=r"denoise-by-size is .*; give increasing sizes"):
            Settings(denoise_by_size=typed)
    with pytest.raises(SettingsError, match=r"strength is 0.3 and denoise-by-size is 30:1,.*; give only one of"):
        Settings(denoise_by_size="30:1,120:0.4", strength=0.3)
