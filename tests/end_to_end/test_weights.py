"""The command line over weights as they are found: thin files in the original layouts, on a real clip."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from redetail.cli.main import main
from redetail.video import open_source
from tests.clips import CLIPS
from tests.engines import originals

pytestmark = pytest.mark.slow

WIDTHS, CONTEXT = (32, 64), 32
CLIP = CLIPS / "guitarist.mp4"
FRAMES = 3
ASKED = ["--prompt", "a sharp face", "--denoise", 0.6, "--steps", 2, "--cfg", 2, "--seed", 3, "--end", f"{FRAMES}f"]
SMALL = ["--guide-size", 64, "--max-size", 64, "--crop-factor", 1.5, "--device", "cpu", "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Thin networks are quicker on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with all that people collect: checkpoints, a motion module, a LoRA, a ControlNet, a VAE."""
    folder = tmp_path_factory.mktemp("weights")
    unet = originals.unet_shapes(WIDTHS, CONTEXT, layers=1)
    vae = originals.vae_shapes((32, 32, 32, 32), 1)
    text = originals.clip_shapes(CONTEXT, 1)
    for seed, name in enumerate(("sd.safetensors", "refiner.ckpt")):
        originals.save(folder / name, originals.filled(unet | vae | text, seed))
    motion = originals.motion_shapes("v3", WIDTHS, layers=1)
    originals.save(folder / "mm.ckpt", originals.filled(motion, 2))
    plain = originals.vae_shapes((32, 32, 32, 32), 1, prefix="")
    originals.save(folder / "vae.safetensors", originals.filled(plain, 3))
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    originals.save(folder / "style.safetensors", originals.filled(
        {f"{stem}.lora_down.weight": (4, 32), f"{stem}.lora_up.weight": (32, 4)}, 4
    ))  # fmt: skip
    control = originals.control_shapes(widths=WIDTHS, context=CONTEXT, layers=1)
    originals.save(folder / "tile.pth", originals.filled(control, 5))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def detail(weights, runs):
    """Run ``redetail detail`` over the clip; returns the frames and the report."""

    def run(name, *more, base=("--checkpoint", weights / "sd.safetensors", "--motion-module", weights / "mm.ckpt")):
        output, report = runs / f"{name}.mkv", runs / f"{name}.json"
        arguments = ["detail", CLIP, "-o", output, "--lossless", "--report", report, *base, *ASKED, *SMALL, *more]
        assert main([str(argument) for argument in arguments]) == 0
        return decoded(output), json.loads(report.read_text())

    return run


@pytest.fixture(scope="module")
def plain(detail):
    return detail("plain")


def decoded(path: Path) -> np.ndarray:
    return np.stack([frame.pixels for frame in open_source(path).frames()])


def test_a_single_file_and_a_motion_module(plain):
    frames, report = plain
    source = np.stack([frame.pixels for frame in open_source(CLIP).frames(0, FRAMES)])
    assert frames.shape == source.shape
    assert (frames != source).any(axis=(1, 2, 3)).all()
    assert report["untouched"]["changed_pixels_outside_masks"] == 0
    assert report["engine"] == "diffusers:sd.safetensors"
    assert (report["placement"]["device"], report["placement"]["dtype"]) == ("cpu", "float32")


@pytest.mark.parametrize(
    ("name", "options", "nothing"),
    [
        ("lora", ["--lora", "{}/style.safetensors:2"], ["--lora", "{}/style.safetensors:0"]),
        (
            "control",
            ["--controlnet", "{}/tile.pth", "--control", "tile"],
            ["--controlnet", "{}/tile.pth:0", "--control", "tile"],
        ),
        (
            "refiner",
            ["--refiner-checkpoint", "{}/refiner.ckpt", "--refiner-ratio", "0.5"],
            ["--refiner-checkpoint", "{}/refiner.ckpt", "--refiner-ratio", "0"],
        ),
    ],
)
def test_what_is_added_acts_and_at_zero_does_not(detail, plain, weights, name, options, nothing):
    with_it, report = detail(name, *(option.format(weights) for option in options))
    assert (with_it != plain[0]).any()
    assert str(weights) in json.dumps(report["job"])
    without, _ = detail(f"no-{name}", *(option.format(weights) for option in nothing))
    np.testing.assert_array_equal(without, plain[0])


def test_stable_diffusion_xl(detail, runs):
    """Single files of the other family through the same options; its own defaults are in the report."""
    folder = runs / "xl"
    folder.mkdir()
    shapes = originals.sdxl_shapes((32, 32, 32), (32, 32), 32, layers=1, depths=(0, 1, 1))
    originals.save(folder / "xl.safetensors", originals.filled(shapes))
    motion = originals.motion_shapes("sdxl", (32, 32, 32), layers=1)
    originals.save(folder / "mm.ckpt", originals.filled(motion, 2))
    base = ("--checkpoint", folder / "xl.safetensors", "--motion-module", folder / "mm.ckpt")
    frames, report = detail("xl", base=base)
    source = np.stack([frame.pixels for frame in open_source(CLIP).frames(0, FRAMES)])
    assert (frames != source).any(axis=(1, 2, 3)).all()
    assert report["untouched"]["changed_pixels_outside_masks"] == 0
    assert report["engine"] == "diffusers:xl.safetensors"
    assert report["settings"]["clip_skip"] == 2


def test_a_vae_of_its_own_acts(detail, plain, weights):
    frames, _ = detail("vae", "--vae", weights / "vae.safetensors")
    assert (frames != plain[0]).any()


def test_a_saved_job_and_a_report_do_the_same_again(detail, runs, weights):
    """With a LoRA, a preset and a subject of its own: everything goes the way through the file."""
    first, _ = detail(
        "first", "--preset", "lcm", "--steps", 2, "--lora", weights / "style.safetensors:0.7",
        "--save-job", runs / "first.toml",
    )  # fmt: skip
    job = tomllib.loads((runs / "first.toml").read_text())
    assert job["settings"]["sampler"] == "lcm"
    assert job["model"]["motion_module"] == str(weights / "mm.ckpt")
    for number, kept in enumerate(("first.toml", "first.json")):
        again = runs / f"again-{number}.mkv"
        assert main(["detail", "--job", str(runs / kept), "-o", str(again), "--quiet"]) == 0
        np.testing.assert_array_equal(decoded(again), first)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--checkpoint", "{}/mm.ckpt"], ("mm.ckpt is an AnimateDiff v3 motion module", "checkpoint")),
        (["--motion-module", "{}/sd.safetensors"], ("sd.safetensors is a Stable Diffusion", "motion module")),
        (["--lora", "{}/vae.safetensors"], ("vae.safetensors is a VAE", "LoRA")),
        (["--controlnet", "{}/style.safetensors", "--control", "tile"], ("style.safetensors is a LoRA", "ControlNet")),
        (["--refiner-checkpoint", "{}/style.safetensors"], ("style.safetensors is a LoRA", "checkpoint")),
    ],
)
def test_a_file_in_the_wrong_place_is_told_before_the_clip_is_searched(capsys, tmp_path, weights, options, parts):
    base = ["--checkpoint", weights / "sd.safetensors", "--motion-module", weights / "mm.ckpt"]
    given = [option.format(weights) for option in options]
    arguments = ["detail", CLIP, "-o", tmp_path / "out.mp4", *base, *given, "--end", "2f", *SMALL]
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    for part in parts:
        assert part in said[0]
