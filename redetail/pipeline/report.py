"""The report of a run: what was done to whom, with which settings, how long it took and what was measured."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redetail._version import __version__
from redetail.errors import OutputError
from redetail.job import REPORT_VERSION
from redetail.pipeline.measure import Measures
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.run import Run
from redetail.settings import Settings


def plan_report(plan: Plan) -> dict[str, Any]:
    """What a plan says, ready for JSON: the part of the report that is known before anything is detailed."""
    return {
        "report_version": REPORT_VERSION,
        "frames": {"start": plan.start, "stop": plan.stop, "size": [plan.size.width, plan.size.height]},
        "regions": [region_report(crop, plan.settings) for crop in plan.crops],
        "notices": list(plan.notices),
        "settings": None if plan.settings is None else plan.settings.as_dict(),
    }


def region_report(crop: CropPlan, base: Settings | None) -> dict[str, Any]:
    """One subject: its frames, its window, its track (a box and a window corner for every frame), and the settings in
    which it differs from ``base``."""
    region = crop.region
    usual = {} if base is None else base.as_dict()
    return {
        "track": crop.track,
        "label": region.label,
        "confidence": round(region.confidence, 4),
        "start": region.start,
        "stop": region.stop,
        "window_size": [region.size.width, region.size.height],
        "working_size": [crop.working.width, crop.working.height],
        "scale": round(crop.scale, 4),
        "boxes": region.boxes.round(2).tolist(),
        "window_path": region.path.round(3).tolist(),
        "settings": {name: value for name, value in crop.settings.as_dict().items() if usual.get(name, value) != value},
    }


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON; raises :class:`~redetail.errors.OutputError`."""
    write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", path, "report")


def write_text(text: str, path: Path, what: str) -> None:
    """Write ``what`` beside its final name first, so that half of it is never seen, and an older one stays where it
    fails; raises :class:`~redetail.errors.OutputError`.

    Names of files may hold bytes that are no text; they are escaped as JSON reads them.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"The {what} {path} cannot be written: {error.strerror or error}; choose another place."
        ) from error


def full_report(run: Run, plan: Plan, measures: Measures, notices: Sequence[str]) -> dict[str, Any]:
    """Everything known after a run, ready for JSON."""
    info = run.source.info
    report = plan_report(plan)
    for number, region in enumerate(report["regions"]):
        region["measured"] = measures.region(number)
    return {
        "redetail": __version__,
        **report,
        "notices": list(notices),
        "source": {
            "path": None if info.path is None else str(info.path),
            "rate": str(info.rate),
            "bit_depth": info.bit_depth,
        },
        "engine": run.engine.capabilities.name,
        "placement": dict(run.engine.capabilities.placement),
        "passes": run.watch.as_dict(len(plan)),
        "untouched": measures.untouched,
    }
