"""``redetail preview``: a few moments of a run, with one or several settings, as pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redetail import judging
from redetail.cli.display import plain, progress_display, tell
from redetail.cli.options import number
from redetail.cli.outputs import keep_existing, path_of
from redetail.cli.request import common_job_of
from redetail.errors import SettingsError
from redetail.files import expanded
from redetail.pipeline.outputs import check_names
from redetail.pipeline.preview import Preview
from redetail.pipeline.preview_pictures import FOLDER, preview_files
from redetail.progress import CancelToken
from redetail.settings import setting

_SWITCH: Mapping[str, bool] = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def preview(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail preview``."""
    job = common_job_of(options).overlay(source=options.input)
    if job.source is None:
        raise SettingsError("No video was given; use redetail preview IN, or see redetail preview --help")
    output = expanded(options.output or f"{Path(str(job.source)).stem}{FOLDER}")
    files = preview_files(output, path_of(options.loop))
    keep_existing(files, options.overwrite)
    check_names(files, [*([job.source] if isinstance(job.source, Path) else []), *job.files])
    vary = dict(map(_varied, options.vary or ()))
    if len(vary) < len(options.vary or ()):
        raise SettingsError(
            "Two --vary options name the same setting; give all its values in one, as in --vary denoise=0.3,0.5."
        )
    with progress_display(options.quiet) as progress:
        made = judging.preview(
            job,
            output,
            loop=path_of(options.loop),
            moments=options.moments,
            nearest=options.nearest,
            vary=vary,
            progress=progress,
            cancel=cancel,
        )
    for notice in made.notices:
        sys.stderr.write(plain(f"Note: {notice}\n"))
    if not options.quiet:
        tell(preview_summary(made, str(job.source)))


def preview_summary(made: Preview, source: str) -> str:
    """What is shown, as lines."""
    if not made.stills:
        return f"{source}: no subject was found, so there is nothing to show; mark one with --box or --mask\n"
    count, variants = len(made.stills), len(made.variants)
    lines = [f"{source}: {count} moment{'s' * (count > 1)}, {variants} variant{'s' * (variants > 1)}"]
    for name, path in zip(("sheet", "loop"), made.files, strict=True):
        lines.append(f"  {name}: {path}")
    share = f"{made.share:.0%}" if made.share >= 0.01 else f"{made.share:.1%}"
    times = "" if variants == 1 else " for each variant"
    lines.append(
        f"  computed {share} of the frames of a whole run{times}; their pixels are exactly those that a whole run "
        "would give"
    )
    return "\n".join(lines) + "\n"


def _varied(text: str) -> tuple[str, Sequence[Any]]:
    """The name and the values in NAME=V1,V2, or in NAME=V1|V2 if values contain commas."""
    name, equals, values = text.partition("=")
    if not equals or not name or not values:
        raise SettingsError(f"--vary is {text!r}; give NAME=VALUE,VALUE, as in denoise=0.3,0.5.")
    known = judging.known_setting(name)
    return name, [_value(known, one.strip()) for one in values.split("|" if "|" in values else ",")]


def _value(name: str, text: str) -> Any:
    """The value of a setting that a text means; other text stays as it is, and the settings will report it."""
    default = "" if name == "preset" else setting(name).default
    if isinstance(default, bool):
        return _SWITCH.get(text.lower(), text)
    if isinstance(default, tuple):
        return (text,) if text else ()
    return text if isinstance(default, str) else number(text)
