"""The registry of families: what holds for all of them, and that a family is one file and one entry."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from redetail.cli.main import main
from redetail.engines import architectures, enhance_arrays, load_engine
from redetail.engines.architectures import ARCHITECTURES, Architecture, all_presets, architecture_of
from redetail.engines.base import Engine
from redetail.engines.spec import ModelSpec
from redetail.errors import ModelError
from redetail.sampling import sampler_names, scheduler_names
from redetail.settings import Settings, resolve
from tests.engines import originals as made
from tests.engines.toy_family import CONFIG, TOY

# --- every family


@pytest.mark.parametrize("family", ARCHITECTURES, ids=lambda family: family.base)
def test_what_a_family_says_can_be_meant(family: Architecture) -> None:
    assert family.takes <= {item.name for item in fields(ModelSpec)} - {"checkpoint"}
    assert resolve({}, family.defaults)
    for preset in family.presets.values():
        settings = resolve(preset, family.defaults)
        assert settings.sampler in sampler_names()
        assert settings.scheduler in scheduler_names()


def test_one_family_has_the_bundled_model() -> None:
    assert [family.base for family in ARCHITECTURES if family.bundled] == ["restoration"]


def test_every_base_leads_to_one_family() -> None:
    bases = [base for family in ARCHITECTURES for base in (family.base, *family.related)]
    assert len(bases) == len(set(bases))
    assert architecture_of("checkpoint", "sdxl-refiner") is architecture_of("checkpoint", "sdxl")
    assert architecture_of("lora", "sdxl") is None
    assert architecture_of("checkpoint", "flux") is None


def test_a_preset_means_the_same_in_every_family() -> None:
    """Presets are expanded before a model is loaded."""
    for family in ARCHITECTURES:
        assert {name: all_presets()[name] for name in family.presets} == family.presets


# --- one more family


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry line."""
    monkeypatch.setattr(architectures, "ARCHITECTURES", (TOY, *ARCHITECTURES))


@pytest.fixture
def toy_file(tmp_path: Path) -> Path:
    return made.save(tmp_path / "toy.safetensors", {"toy.colour": torch.tensor([0.25, 0.5, 0.75])})


@pytest.fixture
def toy_folder(tmp_path: Path, toy_file: Path) -> Path:
    (tmp_path / CONFIG).write_text("{}")
    return tmp_path


def detailed(engine: Engine, settings: Settings) -> np.ndarray:
    crops = np.zeros((2, 16, 16, 3), np.float32)
    return enhance_arrays(engine, crops, np.ones((1, 16, 16), np.float32), settings)


def test_a_family_that_is_not_registered_is_not_known(toy_file: Path) -> None:
    with pytest.raises(ModelError, match="is a weight file of unknown kind; give a"):
        load_engine(toy_file, device="cpu")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("form", ["toy_file", "toy_folder"])
def test_its_files_and_folders_load_by_the_path_that_users_take(form: str, request: pytest.FixtureRequest) -> None:
    engine = load_engine(request.getfixturevalue(form), device="cpu")
    settings = resolve({"preset": "toy-quick"}, engine.capabilities.defaults, engine.capabilities.presets)
    assert (settings.steps, settings.guide_size) == (1, 64)
    np.testing.assert_allclose(detailed(engine, settings)[0, 0, 0], [0.25, 0.5, 0.75])


@pytest.mark.usefixtures("registered")
def test_what_it_does_not_take_is_refused_with_the_families_that_do(toy_file: Path) -> None:
    spec = ModelSpec(checkpoint=toy_file, motion_module=Path("mm.ckpt"))
    with pytest.raises(ModelError) as caught:
        load_engine(spec, device="cpu")
    assert str(caught.value) == (
        f"A motion module was given, but Toy {toy_file} does not take one; leave it out, or use a checkpoint of "
        "Stable Diffusion 1.x or Stable Diffusion XL."
    )
    assert load_engine(ModelSpec(checkpoint=toy_file, loras=["a.safetensors"]), device="cpu")


@pytest.mark.usefixtures("registered")
def test_a_message_names_it_among_what_can_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"contains no model; give .* or a toy checkpoint instead"):
        load_engine(tmp_path / "empty", device="cpu")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("form", ["toy_file", "toy_folder"])
def test_models_inspect_tells_what_it_is(
    form: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    path = request.getfixturevalue(form)
    assert main(["models", "inspect", str(path), "--device", "cpu"]) == 0
    first, size, details, option, fit = capsys.readouterr().out.splitlines()
    assert (first, details, option) == (f"{path}: a toy checkpoint", "  channels 3", "  option: --checkpoint")
    assert size.startswith("  3 parameters in float32, ")
    assert "with 16 crops of 64x64 about 2.0 MiB out of" in fit


@pytest.mark.usefixtures("registered")
def test_the_command_line_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "  toy.safetensors\n      example.org/toy, MIT\n      a colour\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["detail", "--help-all"])
    words = " ".join(capsys.readouterr().out.split())
    assert "a Toy, Wan, Stable Diffusion 1.x or Stable Diffusion XL model" in words
    assert "--preset toy-quick|wan-low-noise|wan-lightning|lcm|lightning|quality" in words


@pytest.mark.usefixtures("registered")
def test_its_presets_are_refused_before_loading_where_they_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detail", "none.mp4", "-o", "out.mp4", "--preset", "toy-slow"]) == 2
    assert "choose one of: toy-quick, wan-low-noise, wan-lightning, lcm, lightning, quality" in capsys.readouterr().err
