"""The report as a page: one HTML file that needs neither a network nor other files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from redetail.errors import SettingsError
from redetail.files import write_text
from redetail.job import Job, text_of
from redetail.optional import require
from redetail.pipeline.outputs import is_page
from redetail.pipeline.plan import Plan
from redetail.pipeline.report import Report, report_text
from redetail.pipeline.snapshots import Album, Snapshots
from redetail.region import Size
from redetail.settings import display_name
from redetail.video.timing import timecode

_WIDTH, _HEIGHT = 720.0, 90.0  # size of a drawing of curves, in its own units
# Inside a script element, these characters could end the element or start a comment.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def pictures_for(path: Path | None, plan: Plan, size: Size) -> Snapshots | None:
    """The object that takes pictures from frames of ``size`` for a report with this name; None if the report has
    none."""
    return Snapshots(plan, size) if path is not None and is_page(path) else None


def write_run(report: Report, path: Path, pictures: Snapshots | None) -> None:
    """Write the report of a run, as a web page if there are pictures, else as JSON; raises
    :class:`~redetail.errors.OutputError` if it cannot be written."""
    if pictures is None:
        write_text(path, report_text(report))
    else:
        write_text(path, page(report, pictures.albums))


def page(report: Report, albums: Sequence[Album]) -> str:
    """The HTML of the page. Names and settings are always shown as text: the template escapes them, and the page
    forbids all scripts but its own."""
    jinja2, markup = require("jinja2"), require("markupsafe").Markup
    document = report.to_document()
    script, style = (files(__package__).joinpath(f"page.{kind}").read_text("utf-8") for kind in ("js", "css"))
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template.filters["timecode"] = lambda frame: timecode(frame, report.source.rate)
    text: str = template.from_string(files(__package__).joinpath("page.html.j2").read_text("utf-8")).render(
        report=document,
        json=markup(json.dumps(document, ensure_ascii=False).translate(_ESCAPES)),
        script=markup(script),
        style=markup(style),
        allowed=_hash(script),
        settings={display_name(name): value for name, value in (document["settings"] or {}).items()},
        job=_job_text(report.job),
        subjects=[
            _Subject(region, own, _curves(own, region["start"]), albums[index] if index < len(albums) else None)
            for index, (region, own) in enumerate(zip(document["regions"], document["curves"], strict=True))
        ],
        timeline=_timeline(document),
    )
    return text


@dataclass(frozen=True, slots=True)
class _Subject:
    """What the template shows for a region."""

    region: Mapping[str, Any]
    values: Mapping[str, list[float | None]]
    curves: list[_Curve]
    album: Album | None


@dataclass(frozen=True, slots=True)
class _Curve:
    """A drawing of curves over the frames of a subject: ``lines`` are the names and points of the curves, ``top`` is
    the highest value."""

    title: str
    lines: list[tuple[str, list[str]]]
    top: float


def _curves(values: Mapping[str, list[float | None]], start: int) -> list[_Curve]:
    return [
        _curve("change under the mask, 8-bit levels", {"change": values["change"]}),
        _curve(
            "motion-compensated difference from the previous frame, 8-bit levels",
            {"source": values["flicker_source"], "output": values["flicker_output"]},
        ),
    ]


def _curve(title: str, lines: Mapping[str, Sequence[float | None]]) -> _Curve:
    top = max((value for line in lines.values() for value in line if value is not None), default=0.0)
    return _Curve(title, [(name, _pieces(line, top)) for name, line in lines.items()], top)


def _pieces(values: Sequence[float | None], top: float) -> list[str]:
    """The points of a line, which is broken where values are missing."""
    pieces: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        x, y = _WIDTH * (index + 0.5) / len(values), _HEIGHT * (1 - value / (top or 1.0))
        pieces[-1].append(f"{x:.1f},{y:.1f}")
    return [" ".join(piece) for piece in pieces if piece]


def _timeline(document: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Each subject's name, and the start and length of its bar as percentages of the part of the clip that was read."""
    start, stop = document["frames"]["start"], document["frames"]["stop"]
    share = 100 / max(1, stop - start)
    return [
        (one["label"], round((one["start"] - start) * share, 2), round((one["stop"] - one["start"]) * share, 2))
        for one in document["regions"]
    ]


def _job_text(job: Job | None) -> str | None:
    if job is None:
        return None
    try:
        return text_of(job.to_document(), Path("job.toml"))
    except SettingsError:  # names that TOML cannot hold
        return text_of(job.to_document(), Path("job.json"))


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
