"""Pieces of the page as HTML. Names are shown as plain text, since everything is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from redetail.progress import duration
from redetail.selection.tracks_document import SubjectTrack, Tracks
from redetail.web.orders import LOOP, SHEET
from redetail.web.pictures import ClipFacts
from redetail.web.runs import FINISHED, RESUMABLE, Kind, Run, State, Status

STAGES = {"detect": "Finding subjects", "crop": "Cropping", "detail": "Detailing", "write": "Writing"}
_KINDS = {Kind.FIND: "Search", Kind.PREVIEW: "Preview", Kind.DETAIL: "Detail", Kind.BATCH: "Batch"}
_STATES = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.DONE: "done",
    State.INCOMPLETE: "done",
    State.FAILED: "failed",
    State.STOPPED: "stopped",
}
_VIDEOS = (".mp4", ".m4v", ".mov", ".webm")
"""Suffixes of what browsers play."""


def file_address(name: str) -> str:
    """Where the server has a file of the folder."""
    return f"files/{quote(name)}"


def run_address(run: Run, name: str, *, fresh: bool = False) -> str:
    """Where the server has a file of a run; ``fresh``: of this attempt, whatever the browser has kept."""
    return f"runs/{run.name}/{quote(name)}" + (f"?{run.attempt}" if fresh else "")


def clip_view(name: str, facts: ClipFacts) -> str:
    """A clip with the facts about it."""
    words = f"{facts.size.width} x {facts.size.height} pixels, {facts.frames} frames, {facts.seconds:.1f} s"
    return f"{_player(file_address(name), name)}<p class='rd-note'>{escape(words)}</p>"


def subject_cards(run: Run, tracks: Tracks, frames: int, rate: float) -> str:
    """The subjects that were found, each with a box to tick, its picture and a strip of when it is seen."""
    if not tracks.subjects:
        return "<p class='rd-note'>No subject was found. Mark one by hand below.</p>"
    cards = (_subject_card(run, number, one, frames, rate) for number, one in enumerate(tracks.subjects, 1))
    return f"<div class='rd-cards' role='group' aria-label='Subjects found'>{''.join(cards)}</div>"


def _subject_card(run: Run, number: int, subject: SubjectTrack, frames: int, rate: float) -> str:
    boxes = np.concatenate([seen.boxes for seen in subject.tracklets])
    width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    label = escape(subject.label, quote=True)
    picture = run_address(run, f"tracks-thumbnails/{number}.png", fresh=True)
    return (
        f"<label class='rd-card'><input type='checkbox' value='{label}' checked>"
        f"<img src='{picture}' alt='{label}'><span class='rd-name'>{label}</span>"
        f"<span class='rd-note'>{width:.0f} x {height:.0f} px, {len(boxes) / rate:.1f} s</span>"
        f"{_strip(subject, max(1, frames))}</label>"
    )


def _strip(subject: SubjectTrack, frames: int) -> str:
    parts = (
        f"<i style='left:{100 * seen.start / frames:.2f}%;width:{100 * len(seen.boxes) / frames:.2f}%'></i>"
        for seen in subject.tracklets
    )
    spans = ", ".join(f"frames {seen.start} to {seen.stop - 1}" for seen in subject.tracklets)
    return f"<span class='rd-strip' role='img' aria-label='Seen in {spans}'>{''.join(parts)}</span>"


def run_list(rows: Sequence[tuple[Run, Status, int]]) -> str:
    """All runs with their state and actions; the number says how many runs come before a waiting one."""
    if not rows:
        return "<p class='rd-note'>Nothing has run yet. Choose a clip under Detail and press &quot;Run&quot;.</p>"
    return f"<ul class='rd-runs'>{''.join(_run_row(*row) for row in rows)}</ul>"


def _run_row(run: Run, status: Status, before: int) -> str:
    state = _STATES[run.state]
    lines = "".join(f"<p class='rd-note'>{escape(line)}</p>" for line in _run_lines(run, status, before))
    return (
        f"<li class='rd-run' data-state='{state}'><div class='rd-head'><span class='rd-kind'>{_KINDS[run.kind]}</span>"
        f"<strong>{escape(run.title)}</strong><span class='rd-state'>{state}</span></div>"
        f"{progress_bar(run, status)}{lines}<div class='rd-actions'>{''.join(_actions(run))}</div></li>"
    )


def progress_bar(run: Run, status: Status) -> str:
    """How far a run is; empty if it is not running."""
    if run.state is not State.RUNNING:
        return ""
    stage = STAGES.get(status.stage, status.stage.capitalize() or "Starting")
    value = "" if status.share is None else f" value='{status.share:.3f}'"
    counted = f" {status.done:.0f} of {status.total:.0f} {status.unit}" if status.total else ""
    left = "" if status.left is None else f", about {duration(status.left)} left in this step"
    words = escape(f"{f'{status.clip}: ' if status.clip else ''}{stage}{counted}{left}")
    title = escape(run.title, quote=True)
    return f"<progress max='1'{value} aria-label='{title}'></progress><p class='rd-now'>{words}</p>"


def _run_lines(run: Run, status: Status, before: int) -> list[str]:
    if run.state is State.WAITING:
        return [f"Number of runs ahead of this one in the queue: {before}" if before else "Next in the queue"]
    lines = [run.message] if run.message else []
    if run.state in FINISHED and run.output is not None:
        lines.append(f"Written to {run.output.name}")
    return lines + list(status.notes if run.state in FINISHED and run.kind is Kind.DETAIL else ())


def _actions(run: Run) -> list[str]:
    wanted = []
    if run.state in (State.RUNNING, State.WAITING):
        wanted.append(("stop", "Stop"))
    if run.state in RESUMABLE:
        wanted.append(("resume", "Resume"))
    if run.state in FINISHED and run.kind in (Kind.DETAIL, Kind.BATCH):
        wanted.append(("show", "Show result"))
    if run.state is not State.RUNNING:
        wanted.append(("remove", "Remove from list"))
    title = escape(run.title, quote=True)
    return [
        f"<button type='button' data-do='{do}' data-run='{run.name}' aria-label='{text}: {title}'>{text}</button>"
        for do, text in wanted
    ]


def result_view(run: Run, name: str, *, report: bool) -> str:
    """The result of a run: the video, its report and what can be downloaded."""
    address, stem = file_address(name), escape(Path(name).stem, quote=True)
    links = [f"<a class='rd-link' href='{address}' download>Download {escape(Path(name).name)}</a>"]
    if report:
        page = run_address(run, "report.html", fresh=True)
        links.append(f"<a class='rd-link' href='{page}' target='_blank' rel='noopener'>Open the report</a>")
        links.append(f"<a class='rd-link' href='{page}' download='{stem}.html'>Download the report</a>")
    links.append(f"<a class='rd-link' href='{run_address(run, 'job.toml')}' download>Download the job file</a>")
    frame = f"<iframe src='{run_address(run, 'report.html', fresh=True)}' title='Report'></iframe>" if report else ""
    return f"{_player(f'{address}?{run.attempt}', name)}<p class='rd-links'>{''.join(links)}</p>{frame}"


def preview_view(run: Run) -> str:
    """The moments of a preview, and its loop."""
    sheet, loop = (run_address(run, name, fresh=True) for name in (SHEET, LOOP))
    opened = f"<a href='{sheet}' target='_blank' rel='noopener'>"
    return (
        f"{opened}<img class='rd-sheet' src='{sheet}' alt='Moments of the preview: before, and each value'></a>"
        f"<img class='rd-sheet' src='{loop}' alt='The first moment as a loop'>"
    )


def batch_view(folder: str, names: Sequence[str]) -> str:
    """The results of a batch."""
    rows = (
        f"<li><a class='rd-link' href='{file_address(name)}' download>Download {escape(Path(name).name)}</a></li>"
        for name in names
    )
    return f"<p class='rd-note'>Results in {escape(folder)}</p><ul class='rd-files'>{''.join(rows)}</ul>"


def _player(address: str, name: str) -> str:
    title = escape(Path(name).name, quote=True)
    if not name.lower().endswith(_VIDEOS):
        if name.lower().endswith((".gif", ".webp", ".apng", ".png", ".jpg", ".jpeg")):
            return f"<img class='rd-video' src='{address}' alt='{title}'>"
        return (
            f"<p class='rd-note'>Browsers do not play {escape(Path(name).suffix)} files; download the file to watch "
            "it.</p>"
        )
    shown = "controls muted playsinline preload='metadata'"
    return f"<video class='rd-video' src='{address}' {shown} aria-label='{title}'></video>"
