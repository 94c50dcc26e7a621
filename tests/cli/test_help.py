"""What --help says is part of the interface: a change of it is a decision, not an accident."""

import pytest

from redetail import __version__
from redetail.cli.main import main


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


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert output_of(["--version"], capsys) == f"redetail {__version__}\n"
