"""The library: the whole job in one call, and each of its stages as a separate function.

Everything here is re-exported by :mod:`redetail`. Sources are files, folders of images or arrays of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.arguments import check_detections, check_ends, check_run, crops_of, feather_of, regions_of, size_of
from redetail.claims import claimed
from redetail.cluster import Cluster, EnginePool, RayExecutor
from redetail.detection import Detector
from redetail.engines import load_engine
from redetail.engines.base import Engine
from redetail.engines.checks import check_preset
from redetail.engines.memory import Memory
from redetail.errors import SettingsError
from redetail.job import Job
from redetail.pipeline.estimate import Estimate
from redetail.pipeline.executor import Executor
from redetail.pipeline.memory import kept_pictures
from redetail.pipeline.outputs import Outputs
from redetail.pipeline.page import pictures_for, write_run
from redetail.pipeline.paste import check_counts, pasted_frames
from redetail.pipeline.plan import Plan, crop_plans
from redetail.pipeline.report import report_of
from redetail.pipeline.result import Result
from redetail.pipeline.run import Run
from redetail.pipeline.work import KeptWork, Work
from redetail.pipeline.workspace import Workspace
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.region import Region, Size
from redetail.selection import Search
from redetail.selection.detected import Detections, DetectorSelection, detect_frames, loaded, track_detections
from redetail.settings import Settings, resolve
from redetail.video import FrameSource
from redetail.video.base import RGB
from redetail.video.span import Position, Span

Planned = Callable[[Estimate], None]
_Computing = tuple[Callable[[], Engine], Executor | None]
Source = str | Path | NDArray[Any] | FrameSource


def detail(
    source: Source,
    output: str | Path | None = None,
    *,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **options: Any,
) -> Result:
    """Find subjects, follow them, re-diffuse their crops over time and paste these back.

    ``source``: a video file, a folder of images, or frames (F, H, W, 3) as uint8, uint16 or float 0..1. ``output``: a
    video or a folder to write; None returns the frames. ``engine``: an engine that is already loaded. ``options`` are:

    - ``detect``: name of a detector ("face", "turned-faces", "hands", "people"), or a detector; ``box``: one box x1,
      y1, x2, y2 in pixels or several; ``follow``: "x1,y1,x2,y2@time" or several; whatever such a box shows is followed;
      ``detector``: an ONNX file, "FILE.onnx:threshold"; ``mask``: a picture, a video or an array; ``segs``: segments
      from another tool; ``tracks``: a document of ``redetail track``. All of these say who is found.
    - ``only`` and ``skip``: numbers or labels of subjects; ``detector_classes``: names of classes; ``min_confidence``
      (0..1), ``min_size`` (pixels); ``only_smaller_than`` (pixels, frame by frame); ``only_softer_than`` (measured
      sharpness, 1 is sharp); ``who``: pictures of people; ``largest``: a number of subjects. Only the subjects that
      pass all of these are detailed.
    - ``start`` and ``end``: the part of the clip that is detailed, in seconds, as "h:m:s" or as a frame ("120f").
    - ``model``: a checkpoint, a model folder, or a :class:`redetail.ModelSpec` of everything to load (None: the bundled
      model); ``device``: "cpu", "cuda", "cuda:1" or "mps"; ``memory``: a :class:`redetail.Memory`, which says how the
      model uses the machine.
    - ``subjects``: a list of :class:`redetail.Subject`, the settings for individual subjects.
    - ``compare``: also write a video that shows before and after; ``compare_layout`` is "crops" (zoomed in on the
      subjects), "side" (whole frames side by side), "split" or "wipe" (one frame, split by a line).
    - ``report``: also write the report, as JSON or as a web page (.html); ``save_hints``: also save the hints that
      ControlNets were shown as pictures in this folder.
    - ``scale``: how much larger the output is than the source: a factor from 1 to 8, or the output's height in pixels;
      ``background``: what enlarges everything but the subjects, "lanczos" (a filter) or "model" (in overlapping tiles).
    - ``encode``: :class:`redetail.EncodeOptions`, how the output is encoded (None: as suits source and container).
    - ``strict``: refuse a source that is damaged or shorter than its header says, instead of continuing with a notice.
    - every setting of :class:`redetail.Settings`, and ``preset``, one of ``engine.capabilities.presets``.

    Raises :class:`redetail.RedetailError` (see :mod:`redetail.errors`) with a message of one sentence, and
    :class:`redetail.Cancelled` after ``cancel.cancel()``, in which case no output exists.
    """
    job = Job().overlay(source=source, output=output, **options)
    return run(job, engine=engine, progress=progress, cancel=cancel)


def run(
    job: Job,
    *,
    engine: Engine | None = None,
    work: Work | None = None,
    cluster: Cluster | None = None,
    planned: Planned | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Result:
    """Do what a job asks for. Arguments and errors are as in :func:`detail`.

    ``cluster``: detail on the workers of a Ray cluster, which load the job's model (None: in this process); raises
    :class:`redetail.ClusterError` if the cluster cannot be reached. ``work``: keep finished work until the output is
    complete, so that a stopped run can be resumed (None: use temporary files). ``planned`` is called with the estimate
    once the subjects are known. Raises :class:`redetail.InputError` if a stopped run with the same output left work
    that ``work`` does not resume, or that belongs to another source, job or version, and
    :class:`redetail.SettingsError` if the run does not fit into memory.
    """
    check_run(engine, progress, cancel)
    with _computing(job, engine, cluster) as (load, executor):
        return _do(job, load, work, progress, cancel, planned, named=engine is None, executor=executor)


def load_for(job: Job) -> Engine:
    """The engine of a job's model, device and memory."""
    return load_engine(job.model, device=job.device, memory=job.memory)


def pool_for(job: Job, cluster: Cluster) -> EnginePool:
    """The job's engine in each worker of a cluster."""
    return EnginePool(cluster, partial(load_engine, job.model, device=job.device, memory=job.memory), job.device)


def run_loaded(
    job: Job,
    engine: Engine,
    *,
    work: Work | None = None,
    executor: Executor | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Result:
    """Like :func:`run`, with an engine that several jobs may share; ``executor`` runs the tasks (None: this
    process)."""
    return _do(job, lambda: engine, work, progress, cancel, named=True, executor=executor)


def _do(
    job: Job,
    load: Callable[[], Engine],
    work: Work | None,
    progress: ProgressCallback,
    cancel: CancelToken | None,
    planned: Planned | None = None,
    *,
    named: bool,
    executor: Executor | None = None,
) -> Result:
    """Do a job with an engine that is loaded after everything else is checked; ``named``: the job names that engine."""
    job.check()
    frames = job.open_source(kept_pictures(job.memory_limit))
    size = job.output_size(frames.info.size)
    with ExitStack() as stack:
        if work is not None:
            stack.enter_context(work.set_aside(job.output, (job.output, job.compare, job.save_hints)))
        outputs = Outputs.of(job, frames, size)
        stack.enter_context(claimed(outputs.named))
        kept = None if work is None else KeptWork(work, job, frames.info)
        started = run_of(job, frames, load(), progress, cancel)
        plan, space = stack.enter_context(_planned(started, job, kept, size))
        if planned is not None:
            planned(started.estimate(plan, size))
        crops = stack.enter_context(started.enhanced(plan, space, executor))
        if kept is not None:
            kept.mark_writing()
        with outputs.opened(plan, job.span.whole, strict=job.strict) as write:
            pictures = pictures_for(job.report, plan, size)
            measures = started.write(plan, crops, write, size, pictures)
        outputs.faults.extend(started.faults)
        report = report_of(started, job, plan, measures, outputs, named=named)
        if job.report is not None:
            write_run(report, job.report, pictures)
    return Result(job.output, report, outputs.collected, outputs.all_faults)


@contextmanager
def _planned(started: Run, job: Job, kept: KeptWork | None, size: Size) -> Iterator[tuple[Plan, Workspace | None]]:
    """The plan, and the workspace that keeps its work (None: temporary files)."""

    def make() -> Plan:
        return started.plan(job.selection, job.span, job.filters, size)

    if kept is None:
        yield make(), None
        return
    with kept.opened(started, make) as (planned, space):
        yield planned, space


def plan(
    source: Source,
    *,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **options: Any,
) -> Plan:
    """Run only the first pass of :func:`detail`: find out who is where, and how each subject would be cropped."""
    return plan_job(Job().overlay(source=source, **options), engine=engine, progress=progress, cancel=cancel)


def plan_job(
    job: Job,
    *,
    engine: Engine | None = None,
    cluster: Cluster | None = None,
    planned: Planned | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Plan:
    """Run only the first pass of :func:`run`; ``planned`` is called with the estimate for the other passes."""
    check_run(engine, progress, cancel)
    job.check()
    frames = job.open_source()
    size = job.output_size(frames.info.size)
    with _computing(job, engine, cluster) as (load, _):
        started = run_of(job, frames, load(), progress, cancel)
        plan = started.plan(job.selection, job.span, job.filters, size)
        if planned is not None:
            planned(started.estimate(plan, size))
    return plan


def detect(
    source: Source,
    *,
    detector: str | Detector = "face",
    start: Position | None = None,
    end: Position | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Detections:
    """Run a detector over every frame, and find the cuts between shots."""
    check_run(None, progress, cancel)
    chosen = DetectorSelection(detector)
    search = Search(frames_of(source), Span(start, end), 1.0, progress, cancel)
    return detect_frames(search.glimpses(), loaded(chosen.detector))


def track(detections: Detections, size: Size | tuple[int, int], *, crop_factor: float = 3.0) -> list[Region]:
    """Turn detections in frames of ``size`` (width, height) into subjects over time, with smooth crop windows."""
    check_detections(detections)
    return track_detections(detections, size_of(size), Settings(crop_factor=crop_factor).crop_factor)


def enhance(
    source: Source,
    regions: Sequence[Region],
    *,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **options: Any,
) -> list[NDArray[np.float32]]:
    """Return the enhanced crops of every region, (F, h, w, 3) float32 0..1 at working size; all are held in memory.

    ``options``: model, device, memory and settings, as for :func:`detail`.
    """
    check_run(engine, progress, cancel)
    job = Job().overlay(source=source, **options)
    job.check()
    frames = job.open_source()
    placed = regions_of(regions, frames.info)
    started = run_of(job, frames, engine_for(job, engine), progress, cancel)
    with started.enhanced(started.plan_of(placed)) as stores:
        return [store.read(0, len(store)) for store in stores]


def paste(
    source: Source,
    regions: Sequence[Region],
    crops: Sequence[NDArray[np.float32]],
    output: str | Path | None = None,
    *,
    paste_feather: int = 5,
) -> RGB | None:
    """Paste the crops (F, h, w, 3) of every region back; return the frames if no output is named.

    Raises :class:`redetail.RegionError` for regions that do not fit the clip or do not match the number of crops.
    """
    job = Job().overlay(source=source, output=output)
    frames, feather = job.open_source(), feather_of(paste_feather)
    placed, taken = regions_of(regions, frames.info), crops_of(crops)
    outputs = Outputs(frames, job.output)
    check_counts(placed, taken)
    start, stop = Search(frames, Span(), 1.0).frame_range()
    whole = Plan(start, stop, frames.info.size, crop_plans(placed, Settings(), 1))
    with outputs.opened(whole, True) as write:
        end = 0
        for pasted in pasted_frames(frames.frames(), placed, taken, feather):
            if write is not None:
                write(pasted)
            end = pasted.source.index + 1
        check_ends(placed, end)
    return outputs.collected


def run_of(
    job: Job, frames: FrameSource, engine: Engine, progress: ProgressCallback, cancel: CancelToken | None
) -> Run:
    """The run of a job over its frames."""
    settings, background = _resolved(job, engine), job.background == "model"
    limit, hints = job.memory_limit, job.save_hints
    return Run(frames, engine, settings, progress, cancel, job.subjects, hints, job.strict, limit, background)


def engine_for(job: Job, engine: Engine | None) -> Engine:
    """The given engine, or the job's. Options that would change a given engine are refused rather than ignored."""
    if engine is None:
        return load_for(job)
    memory = job.memory and replace(job.memory, limit=None)
    given = {"model": job.model, "device": job.device, "memory": None if memory == Memory() else memory}
    beside = [name for name, value in given.items() if value is not None]
    if beside:
        raise SettingsError(
            f"An engine already has its own {beside[0]}; pass the argument {beside[0]} to load_engine instead."
        )
    return engine


@contextmanager
def _computing(job: Job, engine: Engine | None, cluster: Cluster | None) -> Iterator[_Computing]:
    """What loads the engine of a run, and what runs its tasks (None: this process)."""
    if cluster is None:
        yield lambda: engine_for(job, engine), None
        return
    if engine is not None:
        raise SettingsError("On a cluster, each worker loads its own engine; give the model instead of an engine.")
    with pool_for(job, cluster) as pool:
        yield lambda: pool.engine, RayExecutor(pool)


def frames_of(source: Source) -> FrameSource:
    """The frames of whatever :func:`detail` takes as a source."""
    return Job().overlay(source=source).open_source()


def _resolved(job: Job, engine: Engine) -> Settings:
    """The complete settings; a preset is refused if this kind of model has none."""
    capabilities = engine.capabilities
    check_preset(job.settings, capabilities)
    return resolve(job.settings, capabilities.defaults, capabilities.presets)
