"""The command line over a thin model of Wan, on a real clip."""

import json

import numpy as np
import pytest

from redetail.cli.main import main
from redetail.video import open_source
from tests.clips import CLIPS
from tests.engines.originals import save
from tests.engines.thin_wan import write_wan_folder
from tests.engines.wan.test_lora import lightx2v
from tests.engines.wan_files import write_wan_files

CLIP = CLIPS / "guitarist.mp4"
FRAMES, ON_GRID = 6, 5
LEFT, RIGHT = (40, 40, 90, 90), (180, 40, 230, 90)
SMALL = ["--guide-size", 64, "--max-size", 64, "--crop-factor", 1.5, "--device", "cpu", "--end", f"{FRAMES}f"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_wan_folder(tmp_path_factory.mktemp("models") / "thin-wan")


def typed(*arguments):
    return [str(argument) for argument in arguments]


def test_a_face_is_detailed_and_the_noise_level_reported(model, tmp_path, capsys):
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    asked = ["--checkpoint", model, "--preset", "wan-low-noise", "--steps", 2, "--prompt", "a face", *SMALL]
    assert main(typed("detail", CLIP, "-o", out, "--report", report, "--lossless", *asked)) == 0
    printed = capsys.readouterr().out
    assert "starts at noise level 0.25 (0: the crop, 1: pure noise)" in printed
    document = json.loads(report.read_text())
    assert document["engine"] == "wan:thin-wan"
    assert document["noise_level"] == pytest.approx(0.25, abs=1e-4)
    memory = document["placement"]["memory"]
    assert [*memory] == ["transformer", "text encoder", "VAE", "activations", "needed", "device"]
    assert memory["transformer"] + memory["VAE"] + memory["activations"] < memory["needed"] < memory["device"]
    (region,) = document["regions"]
    assert region["stop"] - region["start"] == FRAMES
    assert region["measured"]["mean_change"] > 0


def test_a_dry_run_says_what_a_shift_does(model, capsys):
    asked = ["--checkpoint", model, "--shift", 8, "--denoise", 0.5, *SMALL]
    assert main(typed("detail", CLIP, "--dry-run", *asked)) == 0
    printed = capsys.readouterr().out
    assert "--shift 8" in printed
    assert "starts at noise level 0.89" in printed
    assert "context-overlap 16" in printed
    assert "  memory on the device: transformer " in printed
    assert " MB; up to " in printed


def test_lora_and_motion_modules_are_refused_by_name(model, tmp_path, capsys):
    (tmp_path / "a.safetensors").write_bytes(b"")
    asked = ["--checkpoint", model, "--motion-module", tmp_path / "a.safetensors", *SMALL]
    assert main(typed("detail", CLIP, "-o", tmp_path / "out.mp4", *asked)) != 0
    assert "but Wan" in capsys.readouterr().err


def job(files, source, prompts, loras=()):
    """A job of two boxes, each with a prompt of its own; paths are quoted as TOML quotes them."""
    lines = [
        f"source = {json.dumps(str(source))}", f"box = {[list(LEFT), list(RIGHT)]}", "[model]",
        *(f"{name} = {json.dumps(str(path))}" for name, path in files.items()),
        "[settings]", f"loras = {json.dumps(list(loras))}", "steps = 2", "strength = 0.5", "cfg = 6",
    ]  # fmt: skip
    for track, prompt in enumerate(prompts, start=1):
        lines += ["[[subject]]", f"track = {track}", f"prompt = {json.dumps(prompt)}"]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_wan_files(tmp_path_factory.mktemp("models"))


@pytest.fixture
def detailed(files, tmp_path):
    """The pixels of the output of a job over two latents, int16 for differences."""
    quick = [*SMALL, "--end", f"{ON_GRID}f"]

    def run(*asked):
        path, out = tmp_path / "job.toml", tmp_path / "out.mkv"
        path.write_text(job(files, CLIP, *asked))
        assert main(typed("detail", "--job", path, "-o", out, "--lossless", "--overwrite", *quick)) == 0
        return np.stack([frame.pixels for frame in open_source(out).frames()]).astype(np.int16)

    return run


def change(one, two, box):
    left, top, right, bottom = box
    return int(np.abs(one - two)[:, top:bottom, left:right].max())


def test_a_job_over_single_files_gives_each_subject_its_prompt_and_lora_their_effect(detailed, tmp_path):
    """Two subjects of one clip: a prompt changes its own subject alone; a LoRA both, at strength 0 no bit."""
    lora, both = save(tmp_path / "lora.safetensors", lightx2v()), ("a face of a woman", "bad hands, blurry")
    plain = detailed(both)
    assert len(plain) == ON_GRID
    alike = detailed((both[0], both[0]))
    assert change(plain, alike, LEFT) == 0
    assert change(plain, alike, RIGHT) > 0
    np.testing.assert_array_equal(detailed(both, [f"{lora}:0"]), plain)
    strong = detailed(both, [f"{lora}:2"])
    assert change(plain, strong, LEFT) > 0
    assert change(plain, strong, RIGHT) > 0
