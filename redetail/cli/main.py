"""The ``redetail`` command: from arguments to an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from itertools import pairwise

from redetail import __version__
from redetail.cli.display import plain, tell
from redetail.cli.interrupt import end_quietly, stop_on_signal
from redetail.cli.messages import messages, shortened
from redetail.cli.parser import build_parser, joined_values
from redetail.cli.streams import make_lenient
from redetail.errors import Cancelled, RedetailError
from redetail.events import EventWriter, MessageStream
from redetail.progress import CancelToken

COMPLETE, BUG, REFUSED, STOPPED = 0, 1, 2, 130
log = logging.getLogger("redetail")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 complete, 2 refused with a message, 3 complete except for what is
    missing from a damaged source, 130 stopped, 1 a bug."""
    if arguments is None:
        make_lenient()
        end_quietly()
    given = joined_values(sys.argv[1:] if arguments is None else arguments)
    if not given:
        tell(build_parser().format_help())
        return REFUSED
    if _wants_events(given):
        return _with_events(given)
    return _code(given)


def _wants_events(given: Sequence[str]) -> bool:
    """Whether messages are lines of JSON, including those about errors in what was typed."""
    return "--progress=json" in given or ("--progress", "json") in pairwise(given)


def _with_events(given: Sequence[str]) -> int:
    """Run the command with lines of JSON on standard error instead of text."""
    events = EventWriter(sys.stderr)
    events.start(given[0])
    with redirect_stderr(MessageStream(events)):
        code = _code(given)
    events.write("end", code=code)
    return code


def _code(given: Sequence[str]) -> int:
    """The exit code of a command that runs."""
    debug = "--debug" in given
    with messages(log, debug=debug, verbose=bool({"-v", "--verbose"} & {*given})):
        return _answered(given, debug)


def _answered(given: Sequence[str], debug: bool) -> int:
    try:
        with stop_on_signal() as token:
            return _run(build_parser().parse_args(given), token)
    except RedetailError as error:
        return _say(str(error), REFUSED, debug)
    except (Cancelled, KeyboardInterrupt):
        return _say("Stopped; nothing was written.", STOPPED, debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug must not look like a refusal
        return _say(_bug(error), BUG, debug)


def _run(options: argparse.Namespace, token: CancelToken) -> int:
    from redetail.cli import commands  # imports the library's machinery, which --help can do without

    log.debug("redetail %s, %s", __version__, " ".join(f"{name}={value!r}" for name, value in vars(options).items()))
    code: int | None = getattr(commands, options.command)(options, token)
    return COMPLETE if code is None else code


def _say(sentence: str, code: int, debug: bool) -> int:
    if debug:
        log.exception("%s", sentence)
    else:
        sys.stderr.write(plain(f"redetail: {shortened(sentence)}\n"))
    return code


def _bug(error: Exception) -> str:
    return (
        f"This is a bug in redetail {__version__} ({type(error).__name__}: {error}); report it together with "
        "what the same command prints with --debug."
    )
