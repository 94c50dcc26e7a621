"""The library: the whole job in one call, and each of its stages alone.

Everything here is re-exported by :mod:`redetail`. Sources are files, folders of images or arrays of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.detection import Detector
from redetail.engines import load_engine
from redetail.engines.base import Engine
from redetail.engines.memory import Memory
from redetail.engines.spec import ModelSpec, as_spec
from redetail.errors import RegionError, SettingsError
from redetail.pipeline.chosen import Subject, check_asked
from redetail.pipeline.job_document import job_document
from redetail.pipeline.outputs import Outputs
from redetail.pipeline.paste import check_counts, pasted_frames
from redetail.pipeline.plan import Plan, Sightings, crop_plans, extent, follow, look
from redetail.pipeline.report import full_report, write_report
from redetail.pipeline.run import Run
from redetail.pipeline.subjects import Subjects, loaded, searched_frames
from redetail.pipeline.timecode import Position, Span
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.region import Box, Region, Size
from redetail.settings import Settings, resolve
from redetail.video import EncodeOptions, FrameSource, array_source, open_source
from redetail.video.base import RGB

Source = str | Path | NDArray[Any] | FrameSource
BoxLike = Box | tuple[float, float, float, float]
Model = str | Path | ModelSpec


@dataclass(frozen=True)
class Result:
    """What :func:`detail` did. ``frames`` are the result where no output was named, else None."""

    output: Path | None
    regions: list[Region]
    report: dict[str, Any]
    notices: tuple[str, ...]
    frames: RGB | None = None


def detail(
    source: Source,
    output: str | Path | None = None,
    *,
    detect: str | Detector = "face",
    box: BoxLike | Sequence[BoxLike] | None = None,
    mask: str | Path | NDArray[Any] | None = None,
    segs: str | Path | dict[str, Any] | None = None,
    start: Position | None = None,
    end: Position | None = None,
    model: Model | None = None,
    engine: Engine | None = None,
    device: str | None = None,
    memory: Memory | None = None,
    subjects: Sequence[Subject] = (),
    compare: str | Path | None = None,
    report: str | Path | None = None,
    save_hints: str | Path | None = None,
    encode: EncodeOptions | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **settings: Any,
) -> Result:
    """Find a subject, follow it, re-diffuse its crops over time and paste them back.

    ``source``: a video file, a folder of images, or frames (F, H, W, 3) as uint8, uint16 or float 0..1. ``output``:
    a video or a folder to write; None returns the frames. ``box``, ``mask`` or ``segs`` say where the subject is, in
    the place of the detector. ``start`` and ``end`` take only a part of the clip. ``model``: a checkpoint, a model
    folder, or a :class:`redetail.ModelSpec` of all that is loaded (None: the bundled model); ``memory``: how it uses
    the machine; ``engine``: one that is loaded already. ``subjects``: settings of single subjects. ``compare``: also
    write before and after side by side; ``report``: also write the report as JSON; ``save_hints``: also write pictures
    of what ControlNets were shown into this folder; ``encode``: how the output is coded (None: as suits source and
    container). ``settings`` are those of :class:`redetail.Settings`, and ``preset``, one of
    :data:`redetail.settings.PRESETS`.

    Raises :class:`redetail.RedetailError` (see :mod:`redetail.errors`) in one sentence, and
    :class:`redetail.Cancelled` after ``cancel.cancel()``; no output exists then.
    """
    arguments = {**locals(), "box": tuple(_boxes(box))}
    wanted = _subjects(detect, box, mask, segs)
    span = Span(start, end)
    check_asked(settings, subjects)
    frames = _source(source)
    read = [Path(one) for one in (mask, segs) if isinstance(one, str | Path)]
    outputs = Outputs(frames, _path(output), _path(compare), _path(report), encode, (*read, *as_spec(model).files))
    loaded = _engine(engine, model, device, memory)
    run = Run(frames, loaded, _resolved(settings, loaded), progress, cancel, subjects, _path(save_hints))
    planned = run.plan(wanted, span)
    with run.enhanced(planned) as crops, outputs.opened(planned, span.whole) as write:
        measures = run.write(planned, crops, write)
    notices = tuple(dict.fromkeys((*planned.notices, *outputs.notices)))
    document = full_report(run, planned, measures, notices)
    document["job"] = None if engine else job_document(arguments, run.settings, as_spec(model), subjects)
    if outputs.report is not None:
        write_report(document, outputs.report)
    return Result(outputs.output, planned.regions, document, notices, outputs.collected)


def plan(
    source: Source,
    *,
    detect: str | Detector = "face",
    box: BoxLike | Sequence[BoxLike] | None = None,
    mask: str | Path | NDArray[Any] | None = None,
    segs: str | Path | dict[str, Any] | None = None,
    start: Position | None = None,
    end: Position | None = None,
    model: Model | None = None,
    engine: Engine | None = None,
    device: str | None = None,
    memory: Memory | None = None,
    subjects: Sequence[Subject] = (),
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **settings: Any,
) -> Plan:
    """Only the first pass of :func:`detail`: who is where, and how each would be cropped and scaled."""
    check_asked(settings, subjects)
    engine = _engine(engine, model, device, memory)
    run = Run(_source(source), engine, _resolved(settings, engine), progress, cancel, subjects)
    return run.plan(_subjects(detect, box, mask, segs), Span(start, end))


def detect(
    source: Source,
    *,
    detector: str | Detector = "face",
    start: Position | None = None,
    end: Position | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Sightings:
    """Run a detector over every frame, and find the cuts between shots."""
    span = Span(start, end)
    return look(searched_frames(_source(source), span, progress, cancel), loaded(detector))


def track(sightings: Sightings, size: Size | tuple[int, int], *, crop_factor: float = 3.0) -> list[Region]:
    """Turn sightings in frames of ``size`` (width, height) into subjects over time, with smooth crop windows."""
    return follow(sightings, size if isinstance(size, Size) else Size(*size), crop_factor)


def enhance(
    source: Source,
    regions: Sequence[Region],
    *,
    model: Model | None = None,
    engine: Engine | None = None,
    device: str | None = None,
    memory: Memory | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **settings: Any,
) -> list[NDArray[np.float32]]:
    """The enhanced crops of every region, (F, h, w, 3) float32 0..1 at working size: all of them in memory."""
    check_asked(settings, ())
    engine = _engine(engine, model, device, memory)
    run = Run(_source(source), engine, _resolved(settings, engine), progress, cancel)
    with run.enhanced(run.plan_of(regions)) as stores:
        return [store.read(0, len(store)) for store in stores]


def paste(
    source: Source,
    regions: Sequence[Region],
    crops: Sequence[NDArray[np.float32]],
    output: str | Path | None = None,
    *,
    paste_feather: int = 5,
) -> RGB | None:
    """Paste crops (F, h, w, 3) of every region back; returns the frames where no output is named.

    Raises :class:`redetail.RegionError` where there are not as many crops as the regions have frames.
    """
    frames = _source(source)
    outputs = Outputs(frames, _path(output))
    check_counts(regions, crops)
    start, stop = extent(frames.frames())
    whole = Plan(start, stop, frames.info.size, crop_plans(regions, Settings(), 1))
    with outputs.opened(whole, True) as write:
        for pasted in pasted_frames(frames.frames(), regions, crops, paste_feather):
            write(pasted)
    return outputs.collected


def _engine(engine: Engine | None, model: Model | None, device: str | None, memory: Memory | None) -> Engine:
    """The engine that was given, or that of a model; what would change a given one is refused, not left out."""
    if engine is None:
        return load_engine(model, device=device, memory=memory)
    beside = [name for name, value in (("model", model), ("device", device), ("memory", memory)) if value is not None]
    if beside:
        raise SettingsError(
            f"An engine and a {beside[0]} were given, but an engine has its own; give {beside[0]} to load_engine."
        )
    return engine


def _source(source: Source) -> FrameSource:
    if isinstance(source, np.ndarray):
        return array_source(source)
    return open_source(source) if isinstance(source, str | Path) else source


def _resolved(settings: Mapping[str, Any], engine: Engine) -> Settings:
    """Complete settings; a preset is refused where the model is of a kind that has none."""
    capabilities = engine.capabilities
    if settings.get("preset") is not None and not capabilities.uses_loras:
        raise SettingsError(
            f"The preset {settings['preset']} is for Stable Diffusion models; leave it out, {capabilities.name} has "
            "its own settings."
        )
    return resolve(settings, capabilities.defaults)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path).expanduser()


def _subjects(
    detect: str | Detector,
    box: BoxLike | Sequence[BoxLike] | None,
    mask: str | Path | NDArray[Any] | None,
    segs: str | Path | dict[str, Any] | None,
) -> Subjects:
    return Subjects(
        detect=detect,
        boxes=tuple(_boxes(box)),
        mask=_path(mask) if isinstance(mask, str) else mask,
        segs=_path(segs) if isinstance(segs, str) else segs,
    )


def _boxes(given: BoxLike | Sequence[BoxLike] | None) -> Iterator[Box]:
    """One box or several, as Box, as four numbers or as an array of such; RegionError for anything else."""
    if given is None:
        return
    if isinstance(given, Box):
        yield given
        return
    try:
        rows = [box.as_tuple() if isinstance(box, Box) else box for box in given]
        sides = np.array(rows, np.float64)
    except (TypeError, ValueError):  # no sequence, no numbers, or rows of another length
        sides = np.empty(())
    if isinstance(given, str) or sides.ndim not in (1, 2) or sides.shape[-1] not in (0, 4):
        raise RegionError(f"box is {given!r}; give x1, y1, x2, y2, or a list of such.")
    yield from (Box(*row) for row in sides.reshape(-1, 4).tolist())
