"""``redetail models``: what is known, and what files are."""

import json
import re
from pathlib import Path

import pytest

import redetail
from redetail.cli import models
from redetail.cli.parser import build_parser
from redetail.engines.architectures import known_models
from redetail.engines.memory import GIB
from tests.engines import originals


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    shapes = originals.motion_shapes("v3", (32, 64), layers=1)
    return originals.save(tmp_path / "mm.ckpt", originals.filled(shapes))


def test_every_known_file_is_listed_with_its_place_and_licence(run) -> None:
    ran = run("models")
    assert (ran.code, ran.err) == (0, "")
    for model in known_models():
        assert f"  {model.name}\n      {model.published}, {model.licence}\n      {model.notes}\n" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 120


def test_known_files_are_given_to_options_that_exist(run) -> None:
    for model in known_models():
        arguments = ["detail", "in.mp4", model.option, "FILE"]
        build_parser().parse_args(arguments)
        assert model.licence
        assert "/" in model.published


def test_the_docs_name_every_known_file_with_its_licence() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = "".join((docs / name).read_text() for name in ("weights.md", "video-models.md"))
    first = {model.name: re.split(" and |,", model.name)[0] for model in known_models()}
    missing = [model.name for model in known_models() if first[model.name] not in page or model.licence not in page]
    assert missing == []


def test_a_file_is_told_and_what_it_is_given_to(run, motion: Path) -> None:
    ran = run("models", "inspect", motion, "--device", "cpu")
    assert ran.code == 0, ran.err
    first, size, details, option, fit = ran.out.splitlines()
    assert first == f"{motion}: an AnimateDiff v3 motion module for Stable Diffusion 1.x"
    assert "parameters in float32, " in size
    assert "widths 32+64" in details
    assert option == "  option: --motion-module"
    assert fit.startswith("  on cpu in float32 the weights take 1.4 MiB out of")
    assert fit.endswith(": fits")


def test_a_checkpoint_is_measured_with_what_it_works_with(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = originals.unet_shapes() | originals.vae_shapes() | originals.clip_shapes()
    path = originals.save(tmp_path / "sd.safetensors", originals.filled(shapes))
    for gib, verdict in ((64, "fits"), (4, "too large; use smaller crops")):
        monkeypatch.setattr(models, "device_memory", lambda device, gib=gib: gib * GIB)
        ran = run("models", "inspect", path, "--device", "cpu")
        assert "option: --checkpoint" in ran.out
        assert "with a motion module and 16 crops of 512x512 about" in ran.out
        assert f"of {gib}.0 GiB: {verdict}" in ran.out


def test_a_checkpoint_of_stable_diffusion_xl(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works on larger crops; HotShot's module, which is of the same base, is given nowhere."""
    path = originals.save(tmp_path / "xl.safetensors", originals.filled(originals.sdxl_shapes((32, 32, 32), layers=1)))
    monkeypatch.setattr(models, "device_memory", lambda device: 64 * GIB)
    ran = run("models", "inspect", path, "--device", "cpu")
    assert f"{path}: a Stable Diffusion XL checkpoint" in ran.out
    assert "option: --checkpoint" in ran.out
    assert "with a motion module and 16 crops of 1024x1024 about 24." in ran.out
    hotshot = {"down_blocks.0.temporal_attentions.0.norm.weight": (32,)}
    path = originals.save(tmp_path / "hsxl.safetensors", originals.filled(hotshot))
    assert "not a kind of file that redetail can use" in run("models", "inspect", path, "--device", "cpu").out


def test_several_files(run, motion: Path) -> None:
    assert run("models", "inspect", motion, motion, "--device", "cpu").out.count("option: --motion-module") == 2


def test_files_after_one_that_is_none_are_told_all_the_same(run, motion: Path) -> None:
    ran = run("models", "inspect", motion.with_name("none.ckpt"), motion, "--device", "cpu")
    assert (ran.code, ran.out.count("option: --motion-module")) == (2, 1)
    assert "There is no weight file" in ran.err.splitlines()[0]
    assert ran.err.splitlines()[-1].startswith("redetail: 1 of 2 files")


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_the_bundled_model_is_known(run, name: str) -> None:
    folder = Path(redetail.__file__).parent / "bundled" / "restoration"
    ran = run("models", "inspect", folder / name, "--device", "cpu")
    assert ran.code == 0, ran.err
    card = json.loads((folder / "card.json").read_text())
    assert ran.out.startswith(f"{folder}: a restoration model, {card['name']} {card['version']}\n")
    assert "  licence Apache-2.0\n  used if no --checkpoint is given\n" in ran.out


def test_a_folder_in_the_layout_of_diffusers_is_told_by_its_unet(run, tmp_path: Path) -> None:
    shapes = {"unet": originals.unet_shapes((32, 64), 32, layers=1, prefix=""), "vae": originals.vae_shapes(prefix="")}
    for part, part_shapes in shapes.items():
        (tmp_path / "model" / part).mkdir(parents=True)
        originals.save(tmp_path / "model" / part / "model.safetensors", originals.filled(part_shapes))
    ran = run("models", "inspect", tmp_path / "model", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"{tmp_path / 'model'}: a Stable Diffusion 1.x checkpoint\n")
    assert "parts unet+vae" in ran.out
    assert "option: --checkpoint" in ran.out
    alone = run("models", "inspect", tmp_path / "model" / "vae", "--device", "cpu")
    assert "model.safetensors: a VAE\n" in alone.out
    assert run("models", "inspect", tmp_path, "--device", "cpu").code == 2


def test_what_is_no_weight_file_is_refused_in_one_sentence(run, tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text("hello")
    ran = run("models", "inspect", path)
    assert (ran.code, ran.out) == (2, "")
    assert "notes.safetensors" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_inspect_wants_a_file(run) -> None:
    ran = run("models", "inspect")
    assert ran.code == 2
    assert "No file was given; use: redetail models inspect FILE" in ran.err
