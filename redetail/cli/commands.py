"""What each command does with its options: it calls the library and words the result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from redetail import api
from redetail.cli.display import progress_display, tell
from redetail.cli.draw import drawn_sheet, marked
from redetail.cli.models import models
from redetail.cli.options import settings_of
from redetail.cli.request import preset_of, request_of
from redetail.cli.summary import placement_summary, plan_summary, preset_summary, settings_summary, summary
from redetail.engines.spec import as_spec
from redetail.errors import OutputError, SettingsError
from redetail.evaluate.sheet import Picture, save_png
from redetail.pipeline.job_document import job_document, to_toml
from redetail.pipeline.outputs import check_names
from redetail.pipeline.plan import Plan, watched
from redetail.pipeline.report import plan_report, write_report, write_text
from redetail.progress import CancelToken, ProgressCallback
from redetail.region import Box
from redetail.settings import Settings
from redetail.video import FrameSource, open_sink, open_source
from redetail.video.target import Target, check_target

__all__ = ["detail", "detect", "models"]


def detail(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail detail``."""
    request = request_of(options)
    outputs = {name: request.get(name) for name in ("output", "compare", "report")}
    saved = _path(options.save_job)
    if not options.dry_run and outputs["output"] is None:
        raise SettingsError("Say where the result goes: -o OUT.mp4 (or --dry-run to see what would be done).")
    _keep_existing([*([] if options.dry_run else outputs.values()), saved], options.overwrite)
    if saved is not None:
        _check_job_target(saved, request, outputs.values())
    if options.dry_run:
        _dry_run(options, request, saved, cancel)
        return
    with progress_display(options.quiet) as progress:
        result = api.detail(**request, progress=progress, cancel=cancel)
    if saved is not None:
        write_text(to_toml(result.report["job"]), saved, "job")
    _note(result.notices)
    if not options.quiet:
        shown = {name: None if path is None else str(path) for name, path in outputs.items()}
        shown["job"] = options.save_job
        chosen = preset_summary(preset_of(options, request))
        tell(summary(result.report, str(request["source"]), shown) + chosen)


def _dry_run(options: argparse.Namespace, request: dict[str, Any], saved: Path | None, cancel: CancelToken) -> None:
    outputs = ("output", "compare", "report", "encode", "save_hints")
    asked = {name: value for name, value in request.items() if name not in outputs}
    with progress_display(options.quiet) as progress:
        plan = api.plan(**asked, progress=progress, cancel=cancel)
    if saved is not None:
        write_text(to_toml(_job_of(request, plan)), saved, "job")
    _note(plan.notices)
    report = plan_report(plan)
    lines = plan_summary(report, str(request["source"])), settings_summary(report["settings"])
    tell("".join(lines) + preset_summary(preset_of(options, request)) + placement_summary(plan.placement))


def _job_of(request: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """What was asked for and what was planned of it, as a job."""
    boxes = [box if isinstance(box, Box) else Box(*box) for box in request.get("box") or ()]
    spec, subjects = as_spec(request.get("model")), request.get("subjects", ())
    job = job_document({**request, "box": boxes}, plan.settings or Settings(), spec, subjects)
    assert job is not None, "the command line has names of files only"
    return job


def _check_job_target(saved: Path, request: Mapping[str, Any], others: Iterable[str | Path | None]) -> None:
    """Raise where the job could not be written, or would replace what the run reads or writes."""
    inputs = [Path(request[name]) for name in ("source", "mask", "segs") if request.get(name) is not None]
    check_names([saved, *map(_path, others)], [*inputs, *as_spec(request.get("model")).files])
    check_target(saved, None)


def detect(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail detect``."""
    report, drawing = _detect_outputs(options)
    _keep_existing([report, drawing], options.overwrite)
    source = open_source(Path(options.input).expanduser())
    _check_writable(source, report, drawing)
    check_names([report, drawing], [Path(path) for path in (options.mask, options.segs) if path is not None])
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


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given).expanduser()


def _detect_outputs(options: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Where report and drawing go; a report without a drawing of its own gets one beside it."""
    report = None
    if options.report is not None:
        report = Path(options.report or f"{Path(options.input).stem}.detect.json").expanduser()
    drawing = _path(options.draw) or (report and report.with_suffix(".png"))
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
