"""``redetail detail --job``: subjects of their own, and a report that is run again."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from redetail.job import read_job
from redetail.video import open_source
from tests.clips import CLIPS

QUICK = ("--steps", "2", "--guide-size", "32", "--max-size", "32", "--crop-factor", "1.2", "--lossless")
BOXES = ("--box", "4,4,30,30", "--box", "50,40,80,70")


def decoded(path: Path) -> np.ndarray:
    return np.stack([frame.pixels for frame in open_source(path).frames()])


def changed(before: np.ndarray, after: np.ndarray, box: tuple[int, int, int, int]) -> float:
    x1, y1, x2, y2 = box
    return float(np.abs(after[:, y1:y2, x1:x2].astype(int) - before[:, y1:y2, x1:x2]).mean())


@pytest.fixture
def job(clip: Path) -> Path:
    path = clip.with_name("job.toml")
    path.write_text(
        'source = "clip.mp4"\noutput = "out.mkv"\nreport = "report.json"\n'
        "box = [[4, 4, 30, 30], [50, 40, 80, 70]]\nencode = {lossless = true}\n"
        "settings = {steps = 2, guide-size = 32, max-size = 32, crop-factor = 1.2, denoise = 0.5}\n"
    )
    return path


def test_a_subject_is_skipped_and_another_has_its_own_settings(run, clip: Path, fake_engine, job: Path) -> None:
    job.write_text(job.read_text() + "[[subject]]\ntrack = 1\nskip = true\n[[subject]]\ntrack = 2\npaste-feather = 9\n")
    ran = run("detail", "--job", job)
    assert ran.code == 0, ran.err
    before, after = decoded(clip), decoded(clip.with_name("out.mkv"))
    assert changed(before, after, (4, 4, 30, 30)) == 0
    assert changed(before, after, (58, 48, 72, 62)) > 5
    report = json.loads(clip.with_name("report.json").read_text())
    (region,) = report["regions"]
    assert (region["track"], region["settings"]) == (2, {"paste_feather": 9})
    assert report["job"]["subject"] == [{"track": 1, "skip": True}, {"track": 2, "paste_feather": 9}]
    assert "1 subject detailed" in ran.out


def test_every_subject_is_asked_of_the_engine_with_its_own_settings(run, fake_engine, job: Path, monkeypatch) -> None:
    asked = []
    enhance = fake_engine.run
    monkeypatch.setattr(fake_engine, "run", lambda request: (asked.append(request.settings), enhance(request)))
    job.write_text(job.read_text() + "[[subject]]\ntrack = 2\ndenoise = 0.9\nseed = 4\n")
    assert run("detail", "--job", job, "--steps", 3).code == 0
    assert [(one.denoise, one.seed, one.steps) for one in asked] == [(0.5, 0, 3), (0.9, 4, 3)]


def test_a_subject_that_was_not_found(run, clip: Path, fake_engine, job: Path) -> None:
    job.write_text(job.read_text() + "[[subject]]\ntrack = 3\n")
    ran = run("detail", "--job", job)
    assert ran.code == 2
    assert "There is no subject named 3; choose one of: 1 (box), 2 (box)." in ran.err
    assert not clip.with_name("out.mkv").exists()


def test_all_subjects_may_be_skipped(run, clip: Path, fake_engine, job: Path) -> None:
    job.write_text(job.read_text() + '[[subject]]\ntrack = "box"\nskip = true\n')
    assert run("detail", "--job", job).code == 0
    np.testing.assert_array_equal(decoded(clip), decoded(clip.with_name("out.mkv")))


def test_a_job_does_not_overwrite_its_own_output(run, clip: Path, fake_engine, job: Path) -> None:
    assert run("detail", "--job", job).code == 0
    ran = run("detail", "--job", job)
    assert ran.code == 2
    assert "out.mkv already exists; give another name, or use --overwrite" in ran.err
    assert run("detail", "--job", job, "--overwrite").code == 0


def test_a_dry_run_says_where_it_would_compute(run, clip: Path) -> None:
    """With the bundled model: what is asked of memory is told, whether or not a model has such parts."""
    ran = run("detail", clip, *BOXES, "--dry-run", "--device", "cpu", "--dtype", "float32", "--vae-tile", 64)
    assert ran.code == 0, ran.err
    assert "  computes on cpu in float32, attention sdpa, VAE in tiles of 64\n" in ran.out
    assert ran.out.count("box (confidence 1.00)") == 2


def test_a_preset_is_refused_for_a_model_that_has_none(run, clip: Path) -> None:
    ran = run("detail", clip, "-o", clip.with_name("out.mp4"), *BOXES, "--preset", "lcm")
    assert ran.code == 2
    assert "The preset lcm is for Stable Diffusion 1.x and Stable Diffusion XL; leave it out" in ran.err


def test_a_report_is_run_again_and_gives_the_same_bits(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model on a real face, from another folder, with a cfg that changes a sharp clip, too."""
    first, report, second = tmp_path / "first.mkv", tmp_path / "report.json", tmp_path / "second.mkv"
    asked = ("--end", "5f", "--seed", "11", "--denoise", "0.8", "--start", "1f", "--mask-feather", "7", "--cfg", "30")
    ran = run("detail", CLIPS / "guitarist.mp4", "-o", first, "--report", report, *asked, *QUICK, "--device", "cpu")
    assert ran.code == 0, ran.err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("detail", "--job", report, "-o", second).code == 0
    np.testing.assert_array_equal(decoded(first), decoded(second))
    assert decoded(first).shape[0] == 4
    assert run("detail", "--job", report, "-o", tmp_path / "other.mkv", "--seed", "12").code == 0
    assert (decoded(tmp_path / "other.mkv") != decoded(first)).any()


def test_a_job_is_saved_as_it_was_asked(run, clip: Path, fake_engine) -> None:
    saved = clip.with_name("kept.toml")
    first, second = clip.with_name("a.mkv"), clip.with_name("b.mkv")
    ran = run("detail", clip, "-o", first, *BOXES, *QUICK, "--save-job", saved)
    assert ran.code == 0, ran.err
    assert f"  job: {saved}" in ran.out
    assert run("detail", "--job", saved, "-o", second).code == 0
    np.testing.assert_array_equal(decoded(first), decoded(second))
    assert run("detail", clip, "-o", clip.with_name("c.mkv"), *BOXES, *QUICK, "--save-job", saved).code == 2


def test_a_dry_run_saves_the_job_and_nothing_else(run, clip: Path, fake_engine, tmp_path: Path) -> None:
    planned, ran = clip.with_name("planned.toml"), clip.with_name("ran.toml")
    output = clip.with_name("a.mkv")
    asked = ("detail", clip, "-o", output, *BOXES, *QUICK, "--seed", 3)
    dry = run(*asked, "--dry-run", "--save-job", planned)
    assert dry.code == 0, dry.err
    assert not output.exists()
    assert run(*asked, "--dry-run", "--save-job", planned).code == 2
    assert run(*asked, "--save-job", ran).code == 0
    assert planned.read_text() == ran.read_text()
    assert run(*asked, "--dry-run").code == 2  # it refuses what the run would refuse: the output is there now
    assert run(*asked, "--dry-run", "--overwrite").code == 0
    assert run(*asked, "--dry-run", "--save-job", clip, "--overwrite").code == 2


@pytest.mark.parametrize(
    "name", ["clip.mp4", "mask.png", "segs.json", "out.mkv", "side.mp4", "report.json", "gone/a.toml"]
)
def test_a_job_is_never_saved_over_what_the_run_reads_or_writes(run, clip: Path, fake_engine, name: str) -> None:
    """Not even with --overwrite, and it is told before any work."""
    folder = clip.parent
    cv2.imwrite(str(folder / "mask.png"), np.full((80, 96), 255, np.uint8))
    (folder / "segs.json").write_text("{}")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ran = run(
        "detail", clip, "-o", folder / "out.mkv", "--compare", folder / "side.mp4", "--report", folder / "report.json",
        "--mask", folder / "mask.png", "--segs", folder / "segs.json", "--save-job", folder / name, "--overwrite",
    )  # fmt: skip
    assert ran.code == 2
    assert Path(name).name in ran.err
    assert len(ran.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX systems only")
def test_a_job_with_a_name_that_is_not_utf_8(run, clip: Path, fake_engine) -> None:
    """Refused for TOML before any work, and kept by JSON."""
    output = clip.with_name(os.fsdecode(b"a\xff.mkv"))
    ran = run("detail", clip, "-o", output, *BOXES, *QUICK, "--save-job", clip.with_name("kept.toml"))
    assert ran.code == 2
    assert "output is not valid UTF-8, which TOML requires; save the job as kept.json instead." in ran.err
    assert not output.exists()
    kept = clip.with_name("kept.json")
    assert run("detail", clip, "-o", output, *BOXES, *QUICK, "--dry-run", "--save-job", kept).code == 0
    assert read_job(kept).output == output


def test_a_prompt_that_is_not_utf_8(run, clip: Path, fake_engine) -> None:
    ran = run("detail", clip, "-o", clip.with_name("a.mkv"), *BOXES, "--prompt", os.fsdecode(b"a\xff"))
    assert ran.code == 2
    assert "prompt is 'a\\udcff', which is not valid UTF-8" in ran.err


def test_a_job_that_was_run_may_be_replaced_by_what_was_typed_over_it(run, clip: Path, fake_engine, job: Path) -> None:
    assert run("detail", "--job", job, "--seed", 5, "--save-job", job).code == 2
    assert run("detail", "--job", job, "--seed", 5, "--save-job", job, "--overwrite").code == 0
    assert "seed = 5" in job.read_text()


def test_a_report_over_the_segments_that_were_read_is_refused(run, clip: Path, fake_engine) -> None:
    segs = clip.with_name("segs.json")
    segs.write_text("{}")
    for command in (("detail", clip, "-o", clip.with_name("out.mkv")), ("detect", clip)):
        ran = run(*command, "--segs", segs, "--report", segs, "--overwrite")
        assert (ran.code, segs.read_text()) == (2, "{}")
        assert f"The output {segs} is also an input of this run; choose another name." in ran.err
