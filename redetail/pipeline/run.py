"""The passes in order: plan, crop, detail, write.

Their matrix products are small. On a busy machine a BLAS that splits them over threads waits for the slowest one
(measured: 60 times slower beside one other busy process), so each pass holds BLAS to one thread; torch keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits

from redetail.engines.base import Engine
from redetail.errors import UnknownNameError
from redetail.pipeline.enhance import enhance_region, spool_crops
from redetail.pipeline.measure import Measures
from redetail.pipeline.paste import Crops, PastedFrame, pasted_frames
from redetail.pipeline.plan import Plan, crop_plans, watched
from redetail.pipeline.spool import CropStore, Spool
from redetail.pipeline.stopwatch import Stopwatch
from redetail.pipeline.subjects import Subjects, find
from redetail.pipeline.timecode import Span
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress
from redetail.region import Region
from redetail.settings import Settings
from redetail.video import Frame, FrameSource


@dataclass
class Run:
    """One run over one source: what its passes share."""

    source: FrameSource
    engine: Engine
    settings: Settings
    progress: ProgressCallback = no_progress
    cancel: CancelToken | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        # Names are refused before a long clip is searched, not after.
        capabilities = self.engine.capabilities
        for kind, known in (("sampler", capabilities.samplers), ("scheduler", capabilities.schedulers)):
            name = getattr(self.settings, kind)
            if name not in known:
                raise UnknownNameError(kind, name, known)

    def plan(self, subjects: Subjects, span: Span) -> Plan:
        """Pass 1: find the subjects and decide how each is cropped and scaled."""
        with self._pass("detect"):
            found = find(self.source, subjects, self.settings.crop_factor, span, self.progress, self.cancel)
        crops = crop_plans(found.regions, self.settings, self.engine.capabilities.size_multiple)
        notices = (*self.source.info.notices, *found.notices)
        return Plan(found.start, found.stop, self.source.info.size, crops, notices, self.settings)

    def plan_of(self, regions: Sequence[Region]) -> Plan:
        """A plan for regions that are known already: the frames that they span."""
        first = min((region.start for region in regions), default=0)
        last = max((region.stop for region in regions), default=0)
        crops = crop_plans(regions, self.settings, self.engine.capabilities.size_multiple)
        return Plan(first, last, self.source.info.size, crops)

    @contextmanager
    def enhanced(self, plan: Plan) -> Iterator[list[CropStore]]:
        """Pass 2: the enhanced crops of every region, on disk while the context lasts."""
        shapes = [(len(crop.region), *crop.working.shape, 3) for crop in plan.crops]
        with Spool([*shapes, *shapes]) as spool:
            before = [spool.store(f"{number}-before", shape) for number, shape in enumerate(shapes)]
            after = [spool.store(f"{number}-after", shape) for number, shape in enumerate(shapes)]
            if plan.crops:
                with self._pass("crop"):
                    frames = self._frames(plan, "crop")
                    spool_crops(frames, plan.crops, before)
                with self._pass("detail"):
                    self._enhance(plan, before, after)
            for store in before:
                spool.drop(store)
            yield after

    def write(self, plan: Plan, crops: Sequence[Crops], write: Callable[[PastedFrame], None]) -> Measures:
        """Pass 3: paste every frame, hand it to ``write`` and measure it."""
        measures = Measures(plan.regions)
        with self._pass("write"):
            frames = self._frames(plan, "write")
            for pasted in pasted_frames(frames, plan.regions, crops, self.settings.paste_feather):
                write(pasted)
                measures.add(pasted)
        return measures

    @contextmanager
    def _pass(self, name: str) -> Iterator[None]:
        with self.watch(name), threadpool_limits(1, "blas"):
            yield

    def _frames(self, plan: Plan, stage: str) -> Iterator[Frame]:
        return watched(self.source.frames(plan.start, plan.stop), len(plan), stage, self.progress, self.cancel)

    def _enhance(self, plan: Plan, before: Sequence[CropStore], after: Sequence[CropStore]) -> None:
        total = sum(len(region) for region in plan.regions)
        done = 0
        for crop, taken, result in zip(plan.crops, before, after, strict=True):
            share = _offset(self.progress, done, total)
            enhance_region(crop, taken, result, self.engine, self.settings, share, self.cancel)
            done += len(crop.region)


def _offset(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """Progress of one region as progress of all: ``before`` frames of ``total`` were done when it began."""

    def report(part: Progress) -> None:
        progress(Progress(part.stage, before + part.done, total, part.unit))

    return report
