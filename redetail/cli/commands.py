"""What each command does with its options: it calls the library and words the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from redetail import api
from redetail.cli.display import progress_display, tell
from redetail.cli.draw import drawn_sheet, marked
from redetail.cli.options import encoding_of, settings_of
from redetail.cli.summary import plan_summary, settings_summary, summary
from redetail.errors import OutputError, SettingsError
from redetail.evaluate.sheet import Picture, save_png
from redetail.pipeline.plan import Plan, watched
from redetail.pipeline.report import plan_report, write_report
from redetail.progress import CancelToken, ProgressCallback
from redetail.video import FrameSource, open_sink, open_source
from redetail.video.target import Target, check_target


def detail(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail detail``."""
    if options.dry_run:
        _dry_run(options, cancel)
        return
    if options.output is None:
        raise SettingsError("Say where the result goes: -o OUT.mp4 (or --dry-run to see what would be done).")
    outputs = {name: getattr(options, name) for name in ("output", "compare", "report")}
    _keep_existing(outputs.values(), options.overwrite)
    encode = encoding_of(options)
    with progress_display(options.quiet) as progress:
        result = api.detail(
            options.input, **outputs, **_request(options), model=options.model, device=options.device,
            encode=encode, progress=progress, cancel=cancel,
        )  # fmt: skip
    _note(result.notices)
    if not options.quiet:
        tell(summary(result.report, options.input, outputs))


def _dry_run(options: argparse.Namespace, cancel: CancelToken) -> None:
    with progress_display(options.quiet) as progress:
        plan = api.plan(
            options.input, **_request(options), model=options.model, device=options.device,
            progress=progress, cancel=cancel,
        )  # fmt: skip
    _note(plan.notices)
    report = plan_report(plan)
    tell(plan_summary(report, options.input) + settings_summary(report["settings"]))


def detect(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail detect``."""
    report, drawing = _detect_outputs(options)
    _keep_existing([report, drawing], options.overwrite)
    source = open_source(Path(options.input).expanduser())
    _check_writable(source, report, drawing)
    with progress_display(options.quiet) as progress:
        plan = api.plan(source, **_request(options), progress=progress, cancel=cancel)
        if drawing is not None:
            _draw(source, plan, drawing, progress, cancel)
    if report is not None:
        write_report(plan_report(plan), report)
    _note(plan.notices)
    if not options.quiet:
        written = [f"  {name}: {path}\n" for name, path in (("report", report), ("drawing", drawing)) if path]
        tell(plan_summary(plan_report(plan), options.input) + "".join(written))


def _detect_outputs(options: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Where report and drawing go; a report without a drawing of its own gets one beside it."""
    report = None
    if options.report is not None:
        report = Path(options.report or f"{Path(options.input).stem}.detect.json").expanduser()
    drawing = Path(options.draw).expanduser() if options.draw else report and report.with_suffix(".png")
    if drawing is not None and drawing == report:
        raise SettingsError(f"Report and drawing have the same name, {report}; give each its own.")
    return report, drawing


def _check_writable(source: FrameSource, report: Path | None, drawing: Path | None) -> None:
    """Raise OutputError where report or drawing could not be written, before the clip is searched."""
    for path in (report, drawing):
        if path is not None and path.suffix.lower() in (".json", ".png"):
            check_target(path, source.info.path)
        elif path is not None:
            open_sink(path, source)


def _draw(source: FrameSource, plan: Plan, path: Path, progress: ProgressCallback, cancel: CancelToken) -> None:
    """Write a contact sheet (.png) or every frame (a video, or a folder of images)."""
    frames = watched(source.frames(plan.start, plan.stop), plan.stop - plan.start, "draw", progress, cancel)
    if path.suffix.lower() == ".png":
        _write_picture(drawn_sheet(frames, plan.start, plan.stop, plan.regions), path)
        return
    info = replace(source.info, bit_depth=8)
    with open_sink(path, info, start=plan.start, stop=plan.stop) as sink:
        for frame in frames:
            sink.write(replace(frame, pixels=marked(frame.pixels, frame.index, plan.regions)))


def _write_picture(picture: Picture, path: Path) -> None:
    target = Target(path)
    try:
        save_png(target.temporary, picture)
        target.commit()
    finally:
        target.discard()


def _request(options: argparse.Namespace) -> dict[str, Any]:
    """What to look for, when, and with which settings: what every command hands to the library."""
    subject = {name: getattr(options, name) for name in ("detect", "box", "mask", "segs", "start", "end")}
    return {**subject, **settings_of(options)}


def _keep_existing(outputs: Iterable[str | Path | None], overwrite: bool) -> None:
    """Raise OutputError where a file that is to be written exists and may not be replaced."""
    for path in outputs:
        if path and not overwrite and Path(path).expanduser().is_file():
            raise OutputError(f"{path} exists; give another name, or --overwrite to replace it.")


def _note(notices: Sequence[str]) -> None:
    for notice in notices:
        sys.stderr.write(f"Note: {notice}\n")
