"""The report of a run: what was done to which subject, with which settings, how long it took, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redetail._version import __version__
from redetail.geometry.scale import ratios
from redetail.job import REPORT_VERSION, Job
from redetail.pipeline.measure import Measures, RegionMeasures, Untouched
from redetail.pipeline.outputs import Outputs
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.remarks import remarks_of
from redetail.pipeline.run import Run
from redetail.pipeline.stopwatch import PassTime
from redetail.region import Size
from redetail.settings import Settings
from redetail.video import VideoInfo


@dataclass(frozen=True, kw_only=True)
class PlanReport:
    """The part of the report that is known before anything is detailed; a plan is reported with it."""

    plan: Plan

    def to_document(self) -> dict[str, Any]:
        """Ready for JSON, as docs/report.md describes it."""
        plan = self.plan
        return {
            "report_version": REPORT_VERSION,
            "frames": {"start": plan.start, "stop": plan.stop, "size": [plan.size.width, plan.size.height]},
            "regions": [_region(crop, plan.settings) for crop in plan.crops],
            "left_out": [{"track": one.number, "label": one.label, "reason": one.reason} for one in plan.left_out],
            "notices": list(plan.notices),
            "settings": None if plan.settings is None else plan.settings.as_dict(),
            **({} if plan.noise_level is None else {"noise_level": round(plan.noise_level, 4)}),
            **({"background": _tiles(plan.background)} if plan.background else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Report(PlanReport):
    """What a run did, and what was measured.

    ``size``: size of the frames that were written; ``engine``: the model's name; ``placement``: where and how it
    computed; ``passes``: the time of each pass, by name; ``regions``: the measurements of each of the plan's regions;
    ``untouched``: the measurements of everything outside the masks; ``notices``: messages for the user; ``config``: the
    config file that defaults came from; ``job``: the job that repeats the run (None if it cannot be written because the
    source, a mask or the engine was an object in memory).
    """

    source: VideoInfo
    size: Size
    engine: str
    placement: Mapping[str, Any]
    passes: Mapping[str, PassTime]
    regions: tuple[RegionMeasures, ...]
    untouched: Untouched
    notices: tuple[str, ...]
    job: Job | None
    config: Path | None = None

    def to_document(self) -> dict[str, Any]:
        """Ready for JSON, as docs/report.md describes it."""
        report = super().to_document()
        for region, crop, measured in zip(report["regions"], self.plan.crops, self.regions, strict=True):
            region["measured"] = measured.to_document()
            region["remarks"] = list(remarks_of(crop, measured))
        path = self.source.path
        return {
            "redetail": __version__,
            **report,
            "notices": list(self.notices),
            "source": {
                "path": None if path is None else str(path),
                "rate": str(self.source.rate),
                "bit_depth": self.source.bit_depth,
            },
            "output": _output(self.plan, self.size),
            "engine": self.engine,
            "placement": dict(self.placement),
            "passes": {name: time.to_document() for name, time in self.passes.items()},
            "untouched": self.untouched.to_document(),
            "curves": [measured.curves() for measured in self.regions],
            "config": None if self.config is None else str(self.config),
            "job": None if self.job is None else self.job.to_document(),
        }


def report_of(run: Run, job: Job, plan: Plan, measures: Measures, outputs: Outputs, *, named: bool) -> Report:
    """The report of a run whose outputs are written; ``named``: the job names the engine."""
    capabilities, done = run.engine.capabilities, job.as_run(run.settings)
    return Report(
        plan=plan,
        source=run.source.info,
        size=job.output_size(plan.size),
        engine=capabilities.name,
        placement=plan.placement or capabilities.placement,
        passes=run.watch.passes(len(plan)),
        regions=measures.regions,
        untouched=measures.untouched(outputs.output),
        notices=tuple(dict.fromkeys((*plan.notices, *outputs.notices, *outputs.all_faults))),
        config=job.config_file,
        job=None if done.unnamed or not named else done,
    )


def _region(crop: CropPlan, base: Settings | None) -> dict[str, Any]:
    """One subject: its frames, its window, its track (a box and a window corner for every frame), and those of its
    settings that differ from ``base``."""
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


def _tiles(tiles: Sequence[CropPlan]) -> dict[str, Any]:
    """The tiles in which the engine enlarges everything but the subjects; all have the same size."""
    size, working = tiles[0].region.size, tiles[0].working
    return {"tiles": len(tiles), "size": [size.width, size.height], "working_size": [working.width, working.height]}


def _output(plan: Plan, size: Size) -> dict[str, Any]:
    """The size of the output and, if it differs from the source's, every track in output pixels too."""
    scale = ratios(plan.size, size)
    written: dict[str, Any] = {"size": [size.width, size.height], "scale": [round(one, 6) for one in scale]}
    if size != plan.size:
        written["regions"] = [
            {"boxes": (region.boxes * (scale * 2)).round(2).tolist(),
             "window_size": [round(region.size.width * scale[0], 3), round(region.size.height * scale[1], 3)],
             "window_path": (region.path * scale).round(3).tolist()}
            for region in plan.regions
        ]  # fmt: skip
    return written


def report_text(report: PlanReport) -> str:
    """A report as JSON."""
    return json.dumps(report.to_document(), indent=1, ensure_ascii=False) + "\n"
