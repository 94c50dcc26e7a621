"""The passes in order: plan, crop, detail, write.

Their matrix products are small. On a busy machine a BLAS that splits them over threads waits for the slowest one
(measured: 60 times slower beside one other busy process), so each pass holds BLAS to one thread; torch keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from threadpoolctl import threadpool_limits

from redetail.engines.base import Engine
from redetail.errors import SettingsError
from redetail.job import Subject
from redetail.pipeline.enhance import enhance_region, spool_crops
from redetail.pipeline.hints import HintFolder, RegionHints, open_hints, spool_hints
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.measure import Measures
from redetail.pipeline.overrides import check_subjects, region_settings
from redetail.pipeline.paste import Crops, PastedFrame, pasted_frames
from redetail.pipeline.plan import CropPlan, Plan, crop_plan
from redetail.pipeline.spool import CropStore, Spool
from redetail.pipeline.stopwatch import Stopwatch
from redetail.pipeline.stretches import Budgets
from redetail.progress import CancelToken, Progress, ProgressCallback, no_progress, with_progress
from redetail.region import Region
from redetail.selection import Search, Selection, find_subjects
from redetail.settings import Settings
from redetail.video import Frame, FrameSource
from redetail.video.span import Span


@dataclass
class Run:
    """One run over one source: what its passes share.

    ``save_hints``: a folder that does not exist yet, for pictures of what the engine's ControlNets were shown.
    """

    source: FrameSource
    engine: Engine
    settings: Settings
    progress: ProgressCallback = no_progress
    cancel: CancelToken | None = None
    subjects: Sequence[Subject] = ()
    save_hints: Path | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)
    _hints: Mapping[str, FrameSource] = field(init=False, repr=False)
    _folder: HintFolder | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # What cannot be is refused before a long clip is searched, not after.
        capabilities = self.engine.capabilities
        check_subjects(self.subjects, self.settings, self.engine)
        if self.save_hints is not None and not capabilities.hints:
            raise SettingsError(f"There are no hints to save in {self.save_hints}: the model has no ControlNet.")
        self._hints = open_hints(capabilities.hints, self.source.info)
        self._folder = None if self.save_hints is None else HintFolder(self.save_hints)

    def plan(self, selection: Sequence[Selection], span: Span) -> Plan:
        """Pass 1: find the subjects and decide how each is cropped and scaled."""
        with self._pass("detect"):
            search = Search(self.source, span, self.settings.crop_factor, self.progress, self.cancel)
            found = find_subjects(selection, search)
        crops = self._crops(found.regions)
        notices = (*self.source.info.notices, *found.notices)
        placement, size = self.engine.capabilities.placement, self.source.info.size
        return Plan(found.start, found.stop, size, crops, notices, self.settings, placement, self._budgets)

    def plan_of(self, regions: Sequence[Region]) -> Plan:
        """A plan for regions that are known already: the frames that they span."""
        first = min((region.start for region in regions), default=0)
        last = max((region.stop for region in regions), default=0)
        return Plan(first, last, self.source.info.size, self._crops(regions), budgets=self._budgets)

    @contextmanager
    def enhanced(self, plan: Plan) -> Iterator[list[JoinedCrops]]:
        """Pass 2: the enhanced crops of every region, on disk while the context lasts."""
        shapes = [(len(crop.region), *crop.working.shape, 3) for crop in plan.crops]
        results = [
            [(len(one), *shape[1:]) for one in crop.stretches] for crop, shape in zip(plan.crops, shapes, strict=True)
        ]
        with Spool([*shapes * (1 + len(self._hints)), *chain(*results)]) as spool, self._folder or nullcontext():
            before = [spool.store(f"{number}-before", shape) for number, shape in enumerate(shapes)]
            after = [
                [spool.store(f"{number}-after-{index}", shape) for index, shape in enumerate(own)]
                for number, own in enumerate(results)
            ]
            hints = {
                name: [spool.store(f"{number}-hint-{index}", shape) for number, shape in enumerate(shapes)]
                for index, name in enumerate(self._hints)
            }
            if plan.crops:
                with self._pass("crop"):
                    spool_crops(self._frames(plan, "crop"), plan.crops, before)
                    for name, stores in hints.items():
                        spool_hints(name, self._hints[name], plan.crops, stores, self.source.info, self.cancel)
                with self._pass("detail"):
                    self._enhance(plan, before, after, hints)
            for store in (*before, *(store for stores in hints.values() for store in stores)):
                spool.drop(store)
            yield [JoinedCrops(crop.stretches, own) for crop, own in zip(plan.crops, after, strict=True)]

    def write(self, plan: Plan, crops: Sequence[Crops], write: Callable[[PastedFrame], None]) -> Measures:
        """Pass 3: paste every frame, hand it to ``write`` and measure it."""
        measures = Measures(plan.regions)
        with self._pass("write"):
            frames = self._frames(plan, "write")
            feathers = [crop.settings.paste_feather for crop in plan.crops]
            for pasted in pasted_frames(frames, plan.regions, crops, feathers):
                write(pasted)
                measures.add(pasted)
        return measures

    def _crops(self, regions: Sequence[Region]) -> tuple[CropPlan, ...]:
        """How every subject that is not skipped is cropped, scaled and cut into stretches, with its own settings."""
        multiple, budgets = self.engine.capabilities.size_multiple, self._budgets
        detailed = region_settings(regions, self.subjects, self.settings)
        return tuple(crop_plan(one.region, one.settings, multiple, one.track, budgets) for one in detailed)

    @property
    def _budgets(self) -> Budgets:
        return Budgets.of(self.engine.capabilities)

    @contextmanager
    def _pass(self, name: str) -> Iterator[None]:
        with self.watch(name), threadpool_limits(1, "blas"):
            yield

    def _frames(self, plan: Plan, stage: str) -> Iterator[Frame]:
        return with_progress(self.source.frames(plan.start, plan.stop), len(plan), stage, self.progress, self.cancel)

    def _enhance(
        self,
        plan: Plan,
        before: Sequence[CropStore],
        after: Sequence[Sequence[CropStore]],
        hints: Mapping[str, Sequence[CropStore]],
    ) -> None:
        total = sum(len(region) for region in plan.regions)
        done = 0
        for number, (crop, taken, result) in enumerate(zip(plan.crops, before, after, strict=True)):
            share = _offset(self.progress, done, total)
            stores = {name: regions[number] for name, regions in hints.items()}
            shown = RegionHints(self.engine.capabilities.hints, stores, self._folder)
            enhance_region(crop, taken, result, self.engine, crop.settings, share, self.cancel, shown)
            done += len(crop.region)


def _offset(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """Progress of one region as progress of all: ``before`` frames of ``total`` were done when it began."""

    def report(part: Progress) -> None:
        progress(Progress(part.stage, before + part.done, total, part.unit))

    return report
