"""``redetail completion``: the script that makes a shell complete commands, options and the names that these take."""

from __future__ import annotations

import argparse

from redetail.cli.display import tell
from redetail.cli.names import known_names
from redetail.optional import require
from redetail.progress import CancelToken

SHELLS = ("bash", "zsh", "fish")
_FOLDERS = ("FOLDER",)
_FILES = ("FILE", "IN", "OUT", "INPUT", "MASK", "JOB", "PICTURE", "REPORT", "SOURCE", "RESULT", "CLIP", "LOOP")


def completion(options: argparse.Namespace, cancel: CancelToken) -> None:
    """Print the script."""
    from redetail.cli.parser import build_parser

    tell(completion_script(build_parser(), options.shell))


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script of a shell for everything that can be typed after ``redetail``.

    Raises :class:`~redetail.errors.DependencyError` without shtab.
    """
    shtab = require("shtab")
    for action in _actions(parser):
        _complete(action, shtab.FILE, shtab.DIRECTORY)
    script: str = shtab.complete(parser, shell)
    return f"{script.rstrip()}\n"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found: list[argparse.Action] = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found += _actions(command)
    return found


def _complete(action: argparse.Action, file: object, folder: object) -> None:
    """Give an option the names that it takes, or the marker with which shtab completes files."""
    if action.choices is not None or action.nargs == 0:
        return
    word = str(action.metavar or "").partition("|")[0].partition(".")[0].partition(":")[0].partition("[")[0]
    if names := known_names(action.dest):
        action.choices = names
    elif word in _FOLDERS:
        action.complete = folder  # type: ignore[attr-defined]  # what shtab reads
    elif word in _FILES:
        action.complete = file  # type: ignore[attr-defined]
