"""The config file on the command line: where it is, who wins over it, and that a saved job does without."""

import json
import tomllib
from pathlib import Path

import pytest

from redetail.cli.config import usual_config
from redetail.engines import FakeEngine
from redetail.settings import Settings
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("fake_engine")
BOX = "--box=20,20,60,60"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual config file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    path = tmp_path / "home" / "redetail" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[settings]\nsteps = 7\ndenoise = 0.25\nseed = 3\n\n[encode]\nquality = 30\n")
    return path


def test_where_the_config_file_is() -> None:
    home = Path.home()
    assert usual_config({}, "linux") == home / ".config/redetail/config.toml"
    assert usual_config({}, "darwin") == home / ".config/redetail/config.toml"
    assert usual_config({"XDG_CONFIG_HOME": "/etc/anna"}, "linux") == Path("/etc/anna/redetail/config.toml")
    assert usual_config({"XDG_CONFIG_HOME": "relative"}, "linux") == home / ".config/redetail/config.toml"
    assert usual_config({"APPDATA": "/roaming"}, "win32") == Path("/roaming/redetail/config.toml")
    assert usual_config({"APPDATA": "/roaming"}, "linux") == home / ".config/redetail/config.toml"


def test_typed_wins_over_job_over_config_over_card(config: Path, clip: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "job.toml").write_text("[settings]\nseed = 4\ndenoise = 0.5\n")
    report = tmp_path / "report.json"
    ran = run(
        "detail",
        clip,
        "-o",
        tmp_path / "out.mp4",
        "--job",
        tmp_path / "job.toml",
        "--denoise",
        0.75,
        BOX,
        "--report",
        report,
    )
    assert ran.code == 0, ran.err
    document = json.loads(report.read_text())
    assert document["config"] == str(config)
    used = document["settings"]
    assert (used["denoise"], used["seed"], used["steps"]) == (0.75, 4, 7)
    assert used["guide_size"] == FakeEngine().capabilities.defaults.get("guide_size", Settings().guide_size)
    assert document["job"]["encode"]["quality"] == 30


def test_a_saved_job_gives_the_same_without_and_under_another_config(
    config: Path, clip: Path, tmp_path: Path, run: Run
) -> None:
    job, first, again = tmp_path / "job.toml", tmp_path / "first.mp4", tmp_path / "again.mp4"
    assert run("detail", clip, "-o", first, BOX, "--save-job", job).code == 0
    assert tomllib.loads(job.read_text())["settings"]["steps"] == 7
    config.write_text("scale = 2\n[settings]\nsteps = 9\n[encode]\nquality = 5\nlossless = true\n")
    assert run("detail", "--job", job, "-o", again).code == 0
    assert again.read_bytes() == first.read_bytes()
    ran = run("detail", "--job", job, "-o", again, "--overwrite", "--config", config)
    assert (ran.code, "leave out --config" in ran.err) == (2, True)


def test_dry_run_and_verbose_name_the_file(config: Path, clip: Path, run: Run) -> None:
    ran = run("detail", clip, BOX, "--dry-run", "-v")
    assert f"  defaults: {config}\n" in ran.out
    assert "--steps 7" in ran.out
    assert f"Using the defaults from {config}.\n" in ran.err
    ran = run("detail", clip, BOX, "--dry-run", "-v", "--no-config")
    assert "defaults" not in (ran.out + ran.err).lower()
    assert "--steps 7" not in ran.out


def test_another_file_and_the_last_word_win(config: Path, clip: Path, tmp_path: Path, run: Run) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[settings]\nsteps = 8\n")
    ran = run("detail", clip, BOX, "--dry-run", "--no-config", "--config", other)
    assert "--steps 8" in ran.out
    assert f"defaults: {other}" in ran.out
    ran = run("detail", clip, BOX, "--dry-run", "--config", tmp_path / "missing.toml")
    assert ran.code == 2
    assert "missing.toml cannot be read" in ran.err


def test_a_checkpoint_that_is_typed_replaces_the_whole_model(
    config: Path, clip: Path, tmp_path: Path, run: Run
) -> None:
    config.write_text("[model]\ncheckpoint = 'a.ckpt'\nmotion_module = 'mm.ckpt'\n")
    job = tmp_path / "job.toml"
    assert run("detail", clip, BOX, "--dry-run", "--save-job", job, "--checkpoint", "b.ckpt").code == 0
    assert tomllib.loads(job.read_text())["model"] == {"checkpoint": "b.ckpt"}


@pytest.mark.parametrize("words", [["preview", "IN"], ["batch", "IN", "-o", "OUT"], ["detect", "IN"]])
def test_other_commands_follow_it(words: list[str], config: Path, clip: Path, tmp_path: Path, run: Run) -> None:
    config.write_text("[settings]\ncrop_factor = 'wide'\n")
    ran = run(*({"IN": clip, "OUT": tmp_path / "out"}.get(word, word) for word in words))
    assert ran.code == 2
    assert f"{config}: crop-factor" in ran.err


def test_detect_shows_the_windows_of_the_config_file(config: Path, clip: Path, tmp_path: Path, run: Run) -> None:
    sizes = []
    for factor in ("1.5", "3"):
        config.write_text(f"[settings]\ncrop_factor = {factor}\nprompt = 'a face'\n")
        report = tmp_path / f"{factor}.json"
        assert run("detect", clip, BOX, "--report", report).code == 0
        sizes.append(json.loads(report.read_text())["regions"][0]["window_size"])
    assert sizes[0] < sizes[1]


def test_help_shows_its_defaults(config: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("detail", "--help")
    text = capsys.readouterr().out
    assert f"The defaults of settings such as --denoise come from {config}" in " ".join(text.split())
    assert "(1..10000) [7]" in text
