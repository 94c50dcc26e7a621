"""What each command does with its options: it calls the library and formats the result."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from redetail import api
from redetail.cli.batch import batch
from redetail.cli.clean import clean
from redetail.cli.completion import completion
from redetail.cli.config import config_job
from redetail.cli.display import progress_display, tell
from redetail.cli.draw import drawn_sheet, marked
from redetail.cli.evaluate import evaluate
from redetail.cli.models import models
from redetail.cli.options import settings_of
from redetail.cli.outputs import keep_existing, path_of
from redetail.cli.preview import preview
from redetail.cli.request import cluster_of, job_of, selected, work_of
from redetail.cli.summary import (
    estimate_lines,
    estimate_summary,
    noise_summary,
    placement_summary,
    plan_summary,
    preset_summary,
    settings_summary,
    summary,
)
from redetail.cli.track import track
from redetail.cli.web import web
from redetail.errors import SettingsError
from redetail.evaluate.sheet import save_png
from redetail.files import encoded, expanded, write_text, writing_together
from redetail.job import Job, text_of
from redetail.pipeline.estimate import Estimate
from redetail.pipeline.outputs import Outputs, check_names
from redetail.pipeline.plan import Plan
from redetail.pipeline.report import PlanReport, report_text
from redetail.progress import CancelToken, ProgressCallback, with_progress
from redetail.settings import Settings
from redetail.video import FrameSource, open_sink, open_source
from redetail.video.target import check_target

COMPLETE, INCOMPLETE = 0, 3
_log = logging.getLogger(__name__)

__all__ = ["batch", "clean", "completion", "detail", "detect", "evaluate", "models", "preview", "track", "web"]


def detail(options: argparse.Namespace, cancel: CancelToken) -> int:
    """``redetail detail``."""
    job, saved = job_of(options), path_of(options.save_job)
    outputs = {"output": job.output, "compare": job.compare, "report": job.report}
    if not options.dry_run and job.output is None:
        raise SettingsError("No output was given; add -o OUT.mp4, or --dry-run to see what would be done.")
    work = work_of(options)
    keep_existing(outputs.values(), options.overwrite or work.may_replace(job.output))
    keep_existing([saved], options.overwrite)
    _check_read(options, job, saved, outputs.values())
    if saved is not None:
        check_target(saved, None)
        text_of(job.to_document(), saved)
    if options.dry_run:
        _dry_run(options, job, saved, cancel)
        return COMPLETE
    with progress_display(options.quiet) as progress:
        planned = None if options.quiet else _note_estimate
        result = api.run(job, work=work, cluster=cluster_of(options), planned=planned, progress=progress, cancel=cancel)
    _save_job(job, result.report.plan, saved)
    _note(result.notices)
    if not options.quiet:
        shown = {name: None if path is None else str(path) for name, path in outputs.items()}
        shown["job"] = options.save_job
        lines = summary(result.report, str(job.source), shown), noise_summary(result.report.plan)
        tell("".join(lines) + preset_summary(job.settings))
    return INCOMPLETE if result.faults else COMPLETE


def _dry_run(options: argparse.Namespace, job: Job, saved: Path | None, cancel: CancelToken) -> None:
    """Check everything that the run would check, write only the job, and say what would be done."""
    source = job.open_source()
    size = job.output_size(source.info.size)
    Outputs.of(job, source, size)
    estimates: list[Estimate] = []
    with progress_display(options.quiet) as progress:
        job_of_source = replace(job, source=source)
        plan = api.plan_job(
            job_of_source, cluster=cluster_of(options), planned=estimates.append, progress=progress, cancel=cancel
        )
    _save_job(job, plan, saved)
    _note(plan.notices)
    settings = {} if plan.settings is None else plan.settings.as_dict()
    size = job.output_size(plan.size)
    enlarged = "" if size == plan.size else f"  output: {size}\n"
    needed = "".join(map(estimate_lines, estimates)) if plan.all_crops else ""
    defaults = f"  defaults: {job.config_file}\n" if job.config_file else ""
    settled = settings_summary(settings), preset_summary(job.settings), defaults
    lines = plan_summary(plan, str(job.source)), enlarged, *settled
    tell("".join(lines) + noise_summary(plan) + needed + placement_summary(plan.placement))


def _save_job(job: Job, plan: Plan, path: Path | None) -> None:
    """Write the job that repeats the run, with the planned settings."""
    if path is not None:
        write_text(path, text_of(job.as_run(plan.settings or Settings()).to_document(), path))


def _check_read(options: argparse.Namespace, job: Job, saved: Path | None, outputs: Iterable[Path | None]) -> None:
    """Raise if something that is written would replace what the run reads.

    The job itself may only be replaced by what was typed over it, with --save-job.
    """
    source = [job.source] if isinstance(job.source, Path) else []
    check_names([saved, *outputs, job.save_hints], [*source, *job.files])
    if options.job:
        check_names(outputs, [Path(options.job)])


def detect(options: argparse.Namespace, cancel: CancelToken) -> int:
    """``redetail detect``."""
    report, drawing = _detect_outputs(options)
    keep_existing([report, drawing], options.overwrite)
    config = config_job(options)
    source = open_source(expanded(options.input), strict=bool(options.strict) or config.strict)
    _check_writable(source, report, drawing)
    settings = {name: value for name, value in config.settings.items() if hasattr(options, name)} | settings_of(options)
    job = Job().overlay(source=source, start=options.start, end=options.end, **selected(options), **settings)
    check_names([report, drawing], job.files)
    with progress_display(options.quiet) as progress:
        plan = api.plan_job(job, progress=progress, cancel=cancel)
        written = {} if report is None else {report: encoded(report_text(PlanReport(plan=plan)))}
        with writing_together(written):
            if drawing is not None:
                _draw(source, plan, drawing, progress, cancel)
    _note(plan.notices)
    if not options.quiet:
        lines = [f"  {name}: {path}\n" for name, path in (("report", report), ("drawing", drawing)) if path]
        tell(plan_summary(plan, options.input) + "".join(lines))
    return INCOMPLETE if source.faults else COMPLETE


def _detect_outputs(options: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The files of the report and the drawing; without a name, the drawing goes next to the report."""
    report = None
    if options.report is not None:
        report = expanded(options.report or f"{Path(options.input).stem}.detect.json")
    drawing = path_of(options.draw) or (report and report.name and report.with_suffix(".png")) or None
    return report, drawing


def _check_writable(source: FrameSource, report: Path | None, drawing: Path | None) -> None:
    """Raise OutputError if report or drawing could not be written, before the clip is searched."""
    for path in (report, drawing):
        if path is not None and path.suffix.lower() in (".json", ".png"):
            check_target(path, source.info.path)
        elif path is not None:
            open_sink(path, source)


def _draw(source: FrameSource, plan: Plan, path: Path, progress: ProgressCallback, cancel: CancelToken) -> None:
    """Write a contact sheet (.png) or every frame (a video, or a folder of images)."""
    frames = with_progress(source.frames(plan.start, plan.stop), plan.stop - plan.start, "draw", progress, cancel)
    if path.suffix.lower() == ".png":
        save_png(path, drawn_sheet(frames, plan.start, plan.stop, plan.regions))
        return
    info = replace(source.info, bit_depth=8)
    with open_sink(path, info, start=plan.start, stop=plan.stop) as sink:
        for frame in frames:
            sink.write(replace(frame, pixels=marked(frame.pixels, frame.index, plan.regions)))


def _note(notices: Sequence[str]) -> None:
    for notice in notices:
        _log.warning("%s", notice)


def _note_estimate(estimate: Estimate) -> None:
    """Say what a run will take before it starts, if there is anything to do."""
    if estimate.work_space:
        _note([estimate_summary(estimate)])
