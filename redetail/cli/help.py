"""What ``--help`` and ``--help-all`` print: the options that most people need, or all options with the names they take.

Defaults are those of the bundled model, or of the model in a ``--checkpoint`` next to ``--help``, overridden by those
in the config file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from redetail.cli.config import config_file, config_job
from redetail.cli.display import short, tell
from redetail.cli.names import described_names
from redetail.engines.architectures import all_presets, bundled_architecture
from redetail.engines.architectures.restoration import CARD
from redetail.engines.spec import as_spec
from redetail.settings import Settings, resolve

MOST_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "what to detail": ("input", "inputs", "detect", "only", "who", "box", "mask"),
        "how": ("prompt", "denoise", "steps", "preset", "checkpoint"),
        "output": ("output", "scale", "compare", "vary", "report"),
        "repeat and resume": ("job", "resume"),
        "help": ("help", "help_all"),
    }
)
"""Options that ``--help`` shows, by their names in the parsed arguments, under the titles of their groups."""

_LISTED = ("preset", "sampler", "scheduler", "control")
"""Options for which ``--help-all`` lists the possible names, since their text does not."""


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, gives options room for their names, and looks the same in every version of
    Python."""

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
        return text if default in ("", (), []) else f"{text} [{short(default)}]"


class HelpAction(argparse.Action):
    """Print help and stop: the options that most people need, or all options if ``const`` is true."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, const: bool, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, const=const, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: Any) -> None:
        """Print and leave the process."""
        tell(help_text(parser, everything=self.const, given=getattr(parser, "given", ())))
        parser.exit()


def help_text(parser: argparse.ArgumentParser, *, everything: bool, given: Sequence[str] = ()) -> str:
    """The help of a command; its defaults come from the config file and the checkpoint among the ``given`` arguments.

    Raises :class:`~redetail.errors.ModelError` for a checkpoint that is not a weight file, and what reading a config
    file raises.
    """
    options = {action.dest: action for action in parser._actions}
    defaults, whose = _defaults(given) if options.keys() & {"denoise", "guide_size"} else ({}, "")
    formatter = Help(parser.prog, defaults, listed=everything)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    formatter.add_text(parser.description)
    if defaults:
        one = "--denoise" if "denoise" in options else "--guide-size"
        formatter.add_text(
            f"Values in [brackets] are defaults.\nThe defaults of settings such as {one} come from {whose}."
        )
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


def defaults_of(checkpoint: str | Path | None) -> Settings:
    """The default settings of a checkpoint (None: of the bundled model, which needs no PyTorch)."""
    if checkpoint is not None:
        from redetail.engines.defaults import default_settings

        return default_settings(checkpoint)
    card = files("redetail.bundled") / str(bundled_architecture().bundled) / CARD
    return resolve({}, json.loads(card.read_text(encoding="utf-8"))["defaults"])


def _defaults(given: Sequence[str]) -> tuple[Mapping[str, Any], str]:
    """The default settings with only the arguments ``given`` on either side of ``--help``, and whose defaults they
    are."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--checkpoint", "--model", dest="checkpoint", nargs="?")
    reader.add_argument("--config", nargs="?")
    reader.add_argument("--no-config", dest="config", action="store_false", default=None)
    named = reader.parse_known_args(list(given))[0]
    path = config_file(named)
    if path is None:
        return defaults_of(named.checkpoint).as_dict(), _model(named.checkpoint)
    config = config_job(named)  # this needs PyTorch
    model = named.checkpoint or as_spec(config.model).checkpoint
    settings = resolve(config.settings, defaults_of(model).as_dict(), all_presets())
    return settings.as_dict(), f"{path}, then from {_model(model)}"


def _model(checkpoint: str | Path | None) -> str:
    return "the bundled model (name another with --checkpoint FILE)" if checkpoint is None else str(checkpoint)
