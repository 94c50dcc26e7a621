"""The printed scripts are read by a shell, which then completes commands, options and names."""

import shutil
import subprocess

import pytest

from redetail.cli.completion import SHELLS, completion_script
from redetail.cli.parser import build_parser

COMPLETE = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p redetail | sed 's/.*-F \\([^ ]*\\).*/\\1/') redetail
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script() -> str:
    return completion_script(build_parser(), "bash")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (("det",), {"detail", "detect"}),
        (("detail", "--den"), {"--denoise", "--denoise-by-size"}),
        (("detail", "--codec", "h26"), {"h264", "h265"}),
        (("detail", "--detect", "h"), {"hands"}),
        (("batch", "--scheduler", "karr"), {"karras"}),
        (("completion", "z"), {"zsh"}),
    ],
)
def test_bash_completes(script: str, tmp_path, typed: tuple[str, ...], completed: set[str]) -> None:
    path = tmp_path / "redetail.bash"
    path.write_text(script)
    command = ["bash", "-c", COMPLETE, "bash", str(path), "redetail", *typed]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == completed
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_have_options_and_names(shell: str) -> None:
    text = completion_script(build_parser(), shell)
    assert "dpmpp_2m_sde" in text
    assert "turned-faces" in text
    assert "mask-feather" in text
