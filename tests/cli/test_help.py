"""What --help says is part of the interface: a change of it is a decision, not an accident."""

import re
from pathlib import Path

import pytest

from redetail import __version__
from redetail.cli.help import MOST_NEEDED, defaults_of
from redetail.cli.main import main
from redetail.cli.parser import build_parser
from redetail.engines.defaults import default_settings


def output_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "detail", "preview", "batch", "detect", "track", "evaluate", "models"])
def test_help(command: str, capsys: pytest.CaptureFixture[str], snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = output_of([*command.split(), "--help"], capsys)
    snapshot(f"help-{command or 'redetail'}.txt", text)
    assert max(map(len, text.splitlines())) <= 120


def test_without_a_command_the_commands_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().out == output_of(["--help"], capsys)


@pytest.mark.parametrize("command", ["detail", "preview", "batch"])
def test_all_options(command: str, capsys: pytest.CaptureFixture[str], snapshot, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = output_of([command, "--help-all"], capsys)
    snapshot(f"help-all-{command}.txt", text)
    assert max(map(len, text.splitlines())) <= 120
    words = re.findall(r"[\w|-]+", text)
    for name in (
        "turned-faces",
        "dpmpp_2m_sde",
        "ddim_uniform",
        "quality",
        "given|box|oval|head|hand|person",
    ):
        assert name in words


@pytest.mark.parametrize("command", ["detail", "preview", "batch"])
def test_help_shows_a_part_of_the_options_that_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    some, everything = (options_in(output_of([command, name], capsys)) for name in ("--help", "--help-all"))
    assert some < everything
    assert len(some) < 22 < 60 < len(everything)


def options_in(text: str) -> set[str]:
    return set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE))


def test_every_option_that_is_needed_most_exists() -> None:
    commands = build_parser()._subparsers._group_actions[0].choices.values()
    exist = {action.dest for command in commands for action in command._actions}
    assert exist >= {name for names in MOST_NEEDED.values() for name in names}


def test_defaults_are_those_of_the_bundled_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert defaults_of(None) == default_settings(None)
    text = output_of(["detail", "--help"], capsys)
    assert "The defaults of settings such as --denoise come from the bundled model" in text
    assert f"--steps N                   number of sampling steps (1..10000) [{default_settings(None).steps}]" in text


@pytest.mark.parametrize("order", [0, 1])
def test_defaults_are_those_of_the_checkpoint_that_is_named(
    order: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    words = [["--help"], ["--model", str(model)]]
    text = output_of(["detail", *words[order], *words[1 - order]], capsys)
    assert f"come from {model}." in text
    assert f"sampling steps (1..10000) [{default_settings(model).steps}]" in text
    assert default_settings(model).steps != default_settings(None).steps


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert output_of(["--version"], capsys) == f"redetail {__version__}\n"
