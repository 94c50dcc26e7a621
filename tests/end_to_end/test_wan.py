"""The command line over a thin model of Wan, on a real clip."""

import json

import pytest

from redetail.cli.main import main
from tests.clips import CLIPS
from tests.engines.thin_wan import write_wan_folder

CLIP = CLIPS / "guitarist.mp4"
FRAMES = 6
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


def test_lora_and_motion_modules_are_refused_by_name(model, tmp_path, capsys):
    (tmp_path / "a.safetensors").write_bytes(b"")
    asked = ["--checkpoint", model, "--motion-module", tmp_path / "a.safetensors", *SMALL]
    assert main(typed("detail", CLIP, "-o", tmp_path / "out.mp4", *asked)) != 0
    assert "but Wan" in capsys.readouterr().err
