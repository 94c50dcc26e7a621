"""What each command does with its options: it calls the library and words the result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from redetail import api
from redetail.cli.display import progress_display
from redetail.cli.options import settings_of
from redetail.errors import OutputError, SettingsError
from redetail.progress import CancelToken


def detail(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail detail``."""
    if options.dry_run:
        return _dry_run(options, cancel)
    if options.output is None:
        raise SettingsError("Say where the result goes: -o OUT.mp4 (or --dry-run to see what would be done).")
    _check_outputs(options, ("output", "compare", "report"))
    with progress_display(options.quiet) as progress:
        result = api.detail(
            options.input,
            options.output,
            **_subject(options),
            **settings_of(options),
            model=options.model,
            device=options.device,
            compare=options.compare,
            report=options.report,
            progress=progress,
            cancel=cancel,
        )
    _note(result.notices)
    return None


def _dry_run(options: argparse.Namespace, cancel: CancelToken) -> None:
    with progress_display(options.quiet) as progress:
        plan = api.plan(options.input, **_subject(options), **settings_of(options), progress=progress, cancel=cancel)
    _note(plan.notices)


def _subject(options: argparse.Namespace) -> dict[str, Any]:
    """What to look for and when: the part of the options that every command shares."""
    return {name: getattr(options, name) for name in ("detect", "box", "mask", "segs", "start", "end")}


def _check_outputs(options: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Raise OutputError where a file that is to be written exists and may not be replaced."""
    for name in names:
        path = getattr(options, name)
        if path and Path(path).exists() and not options.overwrite:
            raise OutputError(f"{path} exists; give another name, or --overwrite to replace it.")


def _note(notices: list[str]) -> None:
    for notice in notices:
        sys.stderr.write(f"Note: {notice}\n")
