"""What the commands' parsers share: error messages of one sentence, and groups of options."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from redetail.cli.help import Help, HelpAction
from redetail.cli.options import add_memory, add_model, add_settings, add_subjects
from redetail.engines.architectures import either, family_names
from redetail.errors import SettingsError, UnknownNameError, nearest_name

EXIT_CODES = """\
exit codes: 0 the output is complete; 2 something must be changed, and the message says what; 3 the source is damaged:
            the output contains what could be read, and notes say what is missing; 130 stopped with Ctrl-C or a signal
"""


class Parser(argparse.ArgumentParser):
    """An argument parser that answers in one sentence instead of a page of usage."""

    given: Sequence[str] = ()
    example: str | None = None
    """``given``: the arguments being parsed, and ``example``: the example under ``--help``; both are for the help."""

    def error(self, message: str) -> NoReturn:
        """Raise the parser's message as an error like all others."""
        sentence = message[:1].upper() + message[1:].rstrip(".")
        raise SettingsError(f"{sentence}; see: {self.prog} --help")

    def parse_known_args(self, *given: Any, **named: Any) -> Any:
        """Refuse unknown options here, where the command's own options and help are available."""
        self.given = tuple(given[0] or ()) if given else ()
        for argument in self.given:
            if re.fullmatch(r"(--[\w-]+=|-\w)--", argument):  # argparse would take the value for a separator
                self.error(f"{argument[:-2].rstrip('=')} has the value '--', which is not allowed")
        known, unknown = super().parse_known_args(*given, **named)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            near = nearest_name(unknown[0].partition("=")[0], options)
            meant = "" if near is None else f" (did you mean {near}?)"
            self.error(f"There is no option or argument {unknown[0]}{meant}")
        return known, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is not in the list, and suggest the one that was probably meant."""
        if action.choices is not None and value not in action.choices:
            if action.dest == "command" and os.path.exists(value):
                raise SettingsError(f"The command is missing; to detail {value}, type: redetail detail {value} -o OUT")
            name = action.dest if not action.option_strings else f"{action.option_strings[-1]} value"
            raise UnknownNameError(name.replace("_", "-"), value, map(str, action.choices))


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_command(
    commands: Commands, name: str, *, usage: str, help: str, description: str, epilog: str = EXIT_CODES
) -> Parser:
    """A new command, whose parser has its help with :func:`add_talk`."""
    return commands.add_parser(
        name, prog=f"redetail {name}", usage=usage, help=help, description=description, epilog=epilog,
        formatter_class=Help, allow_abbrev=False, add_help=False,
    )  # fmt: skip


def add_config(parser: Parser) -> None:
    """Add the options for the config file."""
    group = parser.add_argument_group("config file [docs/configuration.md]")
    group.add_argument("--config", metavar="FILE", help="take defaults from this file instead of the usual one")
    without = "do not read a config file"
    group.add_argument("--no-config", dest="config", action="store_false", default=None, help=without)


def add_models_and_memory(parser: Parser) -> None:
    """Add the options for the model, all settings, the use of the machine, and the source of the defaults."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--checkpoint", "--model", metavar="FILE",
        help=f"a {either(family_names())} model: a .safetensors or .ckpt file, a folder in the diffusers "
        "layout, or a name on the Hugging Face Hub [the bundled model]",
    )  # fmt: skip
    add_model(group)
    add_settings(parser)
    group = parser.add_argument_group("memory and speed [chosen to suit the machine]")
    group.add_argument("--device", metavar="NAME", help="device to compute on: cpu, cuda, cuda:1 or mps")
    add_memory(group)
    add_config(parser)


def add_work_folder(group: argparse._ArgumentGroup) -> None:
    """Add the option for the folder of unfinished work."""
    group.add_argument("--work-dir", metavar="FOLDER", help="keep unfinished work here [next to OUT]")
    group.add_argument(
        "--work-space",
        metavar="SIZE",
        help="limit on the disk space for unfinished work, such as 20GB [most of the free space]",
    )
    group.add_argument(
        "--keep-work", action="store_true", help="do not delete the intermediate files when the run is complete"
    )


def add_cluster(parser: Parser) -> None:
    """Add the options for the cluster."""
    group = parser.add_argument_group("several GPUs or machines (requires: pip install 'redetail[cluster]')")
    group.add_argument(
        "--ray", metavar="WHERE",
        help="detail on a Ray cluster: local (the GPUs of this machine), auto (the cluster that this machine is part "
        "of), or HOST:PORT of the head node",
    )  # fmt: skip
    group.add_argument(
        "--ray-cores",
        metavar="N",
        type=int,
        help="CPU cores for each worker without a GPU [all cores of the machine, at most 8]",
    )


def add_source(parser: Parser, *, optional: bool = False) -> None:
    """Add the source; it is ``optional`` if a job can name it."""
    group = parser.add_argument_group("what to detail")
    group.add_argument("input", metavar="IN", nargs="?" if optional else None, help="a video, or a folder of images")
    add_strict(group)
    if optional:
        group.add_argument("--job", metavar="JOB", help="a job file (.toml) or a report (.json); options override it")
    add_subjects(group)


def add_scale(group: argparse._ArgumentGroup) -> None:
    """Add the option for the size of the output."""
    group.add_argument(
        "--scale",
        metavar="N",
        help="enlarge the output: a factor from 1 to 8, or the new height in pixels, such as 720 [1]",
    )


def add_background(group: argparse._ArgumentGroup) -> None:
    """Add the option for what enlarges everything but the subjects."""
    group.add_argument(
        "--background", metavar="NAME",
        help="how --scale enlarges the frame outside the subjects: with lanczos (a filter) or model (the model, in "
        "overlapping tiles; this takes far longer) [lanczos]",
    )  # fmt: skip


def add_strict(group: argparse._ArgumentGroup) -> None:
    """Add the option to refuse a damaged source."""
    group.add_argument(
        "--strict", action="store_true", default=None, help="refuse a source that is damaged or incomplete"
    )


def add_talk(parser: Parser, example: str | None = None) -> None:
    """Add the options for help and messages; if ``--help`` shows only the most important options, it ends with
    ``example``."""
    group = parser.add_argument_group("messages")
    group.add_argument("-h", "--help", action=HelpAction, const=example is None, help="show this help and exit")
    if example is not None:
        group.add_argument(
            "--help-all",
            action=HelpAction,
            const=True,
            help="show all options, and the values that can be given by name",
        )
        parser.example = f"example:\n  {example}\n"
    group.add_argument("-q", "--quiet", action="store_true", help="show no progress and no summary")
    group.add_argument(
        "--progress",
        metavar="json",
        choices=("json",),
        help="print progress and messages as lines of JSON, for other programs",
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="also say what is loaded and how long each pass takes"
    )
    group.add_argument("--debug", action="store_true", help="log everything, and show where an error came from")
