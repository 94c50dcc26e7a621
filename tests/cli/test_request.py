"""What is typed, over what a job says."""

from pathlib import Path

import pytest

from redetail.cli.parser import build_parser
from redetail.cli.request import job_of
from redetail.engines.memory import Memory
from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import SettingsError
from redetail.job import Job, Subject, read_job
from redetail.region import Box
from redetail.selection import Selection
from redetail.selection.boxes import BoxSelection
from redetail.selection.detected import DetectorSelection
from redetail.selection.masks import MaskSelection
from redetail.selection.segments import SegmentSelection
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


def asked(*arguments: object) -> Job:
    return job_of(build_parser().parse_args(["detail", *map(str, arguments)]))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(JOB)
    return path


def test_a_command_line_without_a_job() -> None:
    assert asked("in.mp4", "-o", "out.mp4", "--steps", 3) == Job(
        source=Path("in.mp4"), output=Path("out.mp4"), settings={"steps": 3}
    )


def test_every_file_of_a_model_can_be_typed() -> None:
    job = asked(
        "in.mp4", "--checkpoint", "sd.ckpt", "--motion-module", "mm.ckpt", "--motion-lora", "pan.ckpt:0.5",
        "--vae", "vae.pt", "--embedding", "a.pt", "--embedding", "b.pt", "--refiner-checkpoint", "owner/refiner",
        "--controlnet", "tile.pth:0.5:0:0.7", "--control", "tile",
        "--controlnet", "depth.pth", "--control", "depth.mp4", "--lora", "x.safetensors:0.3",
    )  # fmt: skip
    assert job == Job(
        source=Path("in.mp4"),
        settings={"loras": ["x.safetensors:0.3"]},
        model=ModelSpec(
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
    )
    assert asked("in.mp4", "--model", "folder").model == ModelSpec(checkpoint="folder")


def test_memory_can_be_typed() -> None:
    job = asked("in.mp4", "--dtype", "bfloat16", "--no-offload", "--vae-tile", 512, "--compile", "--device", "cpu")
    assert job.memory == Memory(dtype="bfloat16", offload=False, vae_tile=512, compile=True)
    assert job.device == "cpu"


@pytest.mark.parametrize(
    ("typed", "selection"),
    [
        ((), (DetectorSelection("face"),)),
        (("--box", "1,2,3,4", "--box", "5,6,7,8"), (BoxSelection((Box(1, 2, 3, 4), Box(5, 6, 7, 8))),)),
        (
            ("--segs", "s.json", "--mask", "m.png"),
            (MaskSelection(Path("m.png")), SegmentSelection(Path("s.json"))),
        ),
    ],
)
def test_every_kind_of_selection_can_be_typed(typed: tuple[str, ...], selection: tuple[Selection, ...]) -> None:
    assert asked("in.mp4", *typed).selection == selection


def test_a_job_alone(job: Path) -> None:
    assert asked("--job", job) == read_job(job)


def test_what_is_typed_overrides_the_job_and_its_subjects(job: Path) -> None:
    folder = job.parent
    assert asked(
        "other.mp4", "--job", job, "--steps", 4, "--mask", "m.png", "--motion-module", "mm.ckpt",
        "--vae-tile", 64, "--lossless",
    ) == Job(
        source=Path("other.mp4"),
        output=folder / "out.mp4",
        selection=(MaskSelection(Path("m.png")),),  # the job's box is no longer meant
        model=ModelSpec(
            checkpoint=folder / "sd.safetensors", vae=folder / "vae.safetensors", motion_module=Path("mm.ckpt")
        ),
        memory=Memory(dtype="float32", vae_tile=64),
        encode=EncodeOptions(quality=10, lossless=True),
        settings={"prompt": "a face", "steps": 4, "seed": 1},
        subjects=(Subject(1, settings={"seed": 7}),),
    )  # fmt: skip


@pytest.mark.parametrize(("typed", "expected"), [((), True), (("--no-lossless",), False), (("--lossless",), True)])
def test_a_job_that_is_lossless_can_be_run_otherwise(job: Path, typed: tuple[str, ...], expected: bool) -> None:
    job.write_text("source = 'in.mp4'\nencode = {lossless = true}")
    assert asked("--job", job, *typed).encode == EncodeOptions(lossless=expected)


def test_a_video_is_needed() -> None:
    with pytest.raises(SettingsError, match="No video was given; use redetail detail IN -o OUT"):
        asked("-o", "out.mp4")


@pytest.mark.parametrize("more", [("--controlnet", "a.pth"), ("--control", "canny")])
def test_every_controlnet_is_told_what_it_is_shown(more: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="give one --control for each --controlnet"):
        asked("in.mp4", *more)
