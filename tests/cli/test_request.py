"""What is typed, over what a job says."""

from pathlib import Path
from typing import Any

import pytest

from redetail.cli.parser import build_parser
from redetail.cli.request import preset_of, request_of
from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import SettingsError
from redetail.pipeline.chosen import Subject
from redetail.settings import PRESETS
from redetail.video.options import EncodeOptions

JOB = """
source = "in.mp4"
output = "out.mp4"
box = [1, 2, 30, 40]

[model]
checkpoint = "sd.safetensors"
vae = "vae.safetensors"

[memory]
dtype = "float32"

[settings]
prompt = "a face"
steps = 30
seed = 1

[encode]
quality = 10

[[subject]]
track = 1
steps = 12
seed = 7
"""


def request(*arguments: object) -> dict[str, Any]:
    return request_of(build_parser().parse_args(["detail", *map(str, arguments)]))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(JOB)
    return path


def test_a_command_line_without_a_job() -> None:
    assert request("in.mp4", "-o", "out.mp4", "--steps", 3) == {"source": "in.mp4", "output": "out.mp4", "steps": 3}


def test_every_file_of_a_model_can_be_typed() -> None:
    asked = request(
        "in.mp4", "--checkpoint", "sd.ckpt", "--motion-module", "mm.ckpt", "--motion-lora", "pan.ckpt:0.5",
        "--vae", "vae.pt", "--embedding", "a.pt", "--embedding", "b.pt", "--refiner-checkpoint", "owner/refiner",
        "--controlnet", "tile.pth:0.5:0:0.7", "--control", "tile",
        "--controlnet", "depth.pth", "--control", "depth.mp4", "--lora", "x.safetensors:0.3",
    )  # fmt: skip
    assert asked == {
        "source": "in.mp4",
        "loras": ["x.safetensors:0.3"],
        "model": ModelSpec(
            checkpoint="sd.ckpt",
            motion_module=Path("mm.ckpt"),
            motion_loras=(WeightedFile(Path("pan.ckpt"), 0.5),),
            vae=Path("vae.pt"),
            embeddings=(Path("a.pt"), Path("b.pt")),
            refiner_checkpoint="owner/refiner",
            controls=(
                ControlFile(Path("tile.pth"), 0.5, 0.0, 0.7, "tile"),
                ControlFile(Path("depth.pth"), hint="depth.mp4"),
            ),
        ),
    }
    assert request("in.mp4", "--model", "folder")["model"] == ModelSpec(checkpoint="folder")


def test_memory_can_be_typed() -> None:
    asked = request("in.mp4", "--dtype", "bfloat16", "--no-offload", "--vae-tile", 512, "--compile", "--device", "cpu")
    assert asked["memory"] == Memory(dtype="bfloat16", offload=False, vae_tile=512, compile=True)
    assert asked["device"] == "cpu"


def test_a_job_alone(job: Path) -> None:
    asked = request("--job", job)
    assert asked["source"] == job.parent / "in.mp4"
    assert (asked["steps"], asked["seed"], asked["prompt"]) == (30, 1, "a face")
    assert asked["subjects"] == (Subject(1, settings={"steps": 12, "seed": 7}),)


def test_what_is_typed_overrides_the_job_and_its_subjects(job: Path) -> None:
    asked = request(
        "other.mp4", "--job", job, "--steps", 4, "--mask", "m.png", "--motion-module", "mm.ckpt",
        "--vae-tile", 64, "--lossless",
    )  # fmt: skip
    folder = job.parent
    assert asked == {
        "source": "other.mp4",
        "output": folder / "out.mp4",
        "mask": "m.png",  # the job's box is no longer meant
        "model": ModelSpec(
            checkpoint=folder / "sd.safetensors", vae=folder / "vae.safetensors", motion_module=Path("mm.ckpt")
        ),
        "memory": Memory(dtype="float32", vae_tile=64),
        "encode": EncodeOptions(quality=10, lossless=True),
        "prompt": "a face",
        "steps": 4,
        "seed": 1,
        "subjects": (Subject(1, settings={"seed": 7}),),
    }


@pytest.mark.parametrize(("typed", "expected"), [((), True), (("--no-lossless",), False), (("--lossless",), True)])
def test_a_job_that_is_lossless_can_be_run_otherwise(job: Path, typed: tuple[str, ...], expected: bool) -> None:
    job.write_text("source = 'in.mp4'\nencode = {lossless = true}")
    assert request("--job", job, *typed)["encode"] == EncodeOptions(lossless=expected)


def test_a_typed_preset_is_over_the_jobs_steps(job: Path) -> None:
    asked = request("--job", job, "--preset", "lcm", "--cfg", 1.2)
    assert {name: asked[name] for name in PRESETS["lcm"]} == {**PRESETS["lcm"], "cfg": 1.2}
    assert asked["subjects"][0].settings == {"seed": 7}
    options = build_parser().parse_args(["detail", "--job", str(job), "--preset", "lcm"])
    assert preset_of(options, asked) == {"preset": "lcm"}


def test_a_jobs_preset_gives_way_to_what_is_typed(job: Path) -> None:
    job.write_text("source = 'in.mp4'\nsettings = {preset = 'quality', steps = 9}")
    asked = request("--job", job, "--cfg", 3)
    assert (asked["steps"], asked["cfg"], asked["sampler"]) == (9, 3, "dpmpp_2m")


def test_a_video_is_needed() -> None:
    with pytest.raises(SettingsError, match="Say which video: redetail detail IN -o OUT"):
        request("-o", "out.mp4")


@pytest.mark.parametrize("more", [("--controlnet", "a.pth"), ("--control", "canny")])
def test_every_controlnet_is_told_what_it_is_shown(more: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="give both for each, in the same order"):
        request("in.mp4", *more)
