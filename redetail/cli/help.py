"""What ``--help`` and ``--help-all`` print: the options that most people need, or all of them with the names they take.

Defaults are those of the bundled model, or of the one that ``--checkpoint`` names beside ``--help``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from redetail.cli.display import short, tell
from redetail.cli.names import described_names
from redetail.engines.architectures import bundled_architecture
from redetail.engines.architectures.restoration import CARD
from redetail.settings import Settings, resolve

MOST_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "what to detail": ("input", "inputs", "detect", "only", "who", "box", "mask"),
        "how": ("prompt", "denoise", "steps", "preset", "checkpoint"),
        "output": ("output", "scale", "compare", "vary", "report"),
        "repeat and go on": ("job", "resume"),
        "help": ("help", "help_all"),
    }
)
"""Options that ``--help`` shows, by their names in the parsed arguments, under the titles of their groups."""

_LISTED = ("preset", "sampler", "scheduler", "control")
"""Options whose names ``--help-all`` lists, since their text does not."""


class Help(argparse.RawDescriptionHelpFormatter):
    """Examples keep their lines, options get room for their names, and every Python words them alike."""

    def __init__(self, prog: str, defaults: Mapping[str, Any] = MappingProxyType({}), *, listed: bool = False) -> None:
        super().__init__(prog, max_help_position=30, width=100)
        self._defaults, self._listed = defaults, listed

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or isinstance(action, argparse.BooleanOptionalAction):
            return super()._format_action_invocation(action)
        value = "" if action.nargs == 0 else f" {self._metavar_formatter(action, action.dest.upper())(1)[0]}"
        return ", ".join(action.option_strings) + value

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if self._listed and action.dest in _LISTED:
            text += f": {', '.join(described_names(action.dest))}"
        default = self._defaults.get(action.dest, "")
        return text if default in ("", ()) else f"{text} [{short(default)}]"


class HelpAction(argparse.Action):
    """Print help and stop: what most people need, or where ``const`` is true everything."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, const: bool, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, const=const, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any) -> None:
        """Print and leave the process."""
        named = checkpoint_named(getattr(parser, "given", ()))
        tell(help_text(parser, everything=self.const, checkpoint=named))
        parser.exit()


def help_text(parser: argparse.ArgumentParser, *, everything: bool, checkpoint: str | None = None) -> str:
    """The help of a command; defaults are those of a ``checkpoint`` (None: of the bundled model).

    Raises :class:`~redetail.errors.ModelError` for a checkpoint that is not a weight file.
    """
    options = {action.dest: action for action in parser._actions}
    defaults = defaults_of(checkpoint).as_dict() if options.keys() & {"denoise", "guide_size"} else {}
    formatter = Help(parser.prog, defaults, listed=everything)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    formatter.add_text(parser.description)
    if defaults:
        formatter.add_text(f"Values in [brackets] are the defaults, of settings those of {_model(checkpoint)}.")
    if everything:
        groups = [(group.title, group._group_actions) for group in parser._action_groups]
    else:
        groups = [(title, [options[n] for n in names if n in options]) for title, names in MOST_NEEDED.items()]
    for title, actions in groups:
        formatter.start_section(title)
        formatter.add_arguments(actions)
        formatter.end_section()
    formatter.add_text(parser.epilog if everything else getattr(parser, "example", None))
    return formatter.format_help()


def defaults_of(checkpoint: str | None) -> Settings:
    """The settings of a checkpoint where nothing is asked for (None: of the bundled model, which needs no PyTorch)."""
    if checkpoint is not None:
        from redetail.engines.defaults import default_settings

        return default_settings(checkpoint)
    card = files("redetail.bundled") / str(bundled_architecture().bundled) / CARD
    return resolve({}, json.loads(card.read_text(encoding="utf-8"))["defaults"])


def checkpoint_named(given: Sequence[str]) -> str | None:
    """The checkpoint among what was typed, on either side of ``--help``."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--checkpoint", "--model", dest="checkpoint", nargs="?")
    named: str | None = reader.parse_known_args(list(given))[0].checkpoint
    return named


def _model(checkpoint: str | None) -> str:
    return "the bundled model; name another with --checkpoint FILE" if checkpoint is None else checkpoint
