"""The passes in order: plan, crop and detail, write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from redetail.engines.base import Engine, PlansMemory, noise_level
from redetail.engines.checks import prompt_notes
from redetail.errors import SettingsError
from redetail.geometry.scale import ratios
from redetail.imaging.parallel import ahead, behind
from redetail.job import Subject
from redetail.pipeline.background import Background, background_crops
from redetail.pipeline.blas import ONE_THREAD
from redetail.pipeline.enhance import Tally, enhance, joined
from redetail.pipeline.estimate import Estimate, estimated
from redetail.pipeline.executor import Executor, SerialExecutor
from redetail.pipeline.feed import feed
from redetail.pipeline.hints import HintFolder, HintFrames, HintNames, hint_names_of, open_hints
from redetail.pipeline.joints import JoinedCrops
from redetail.pipeline.manifest import engine_identity, source_fingerprint
from redetail.pipeline.measure import FrameMeasures, Measures
from redetail.pipeline.memory import MemoryBudget
from redetail.pipeline.overrides import RegionSettings, check_subjects, region_settings
from redetail.pipeline.paste import Crops, PastedFrame, pasted_frames
from redetail.pipeline.plan import CropPlan, Plan, crop_plan
from redetail.pipeline.shapes import needs_frames, shaped
from redetail.pipeline.stopwatch import Stopwatch
from redetail.pipeline.stretches import Budgets
from redetail.pipeline.tasks import Task, plan_tasks
from redetail.pipeline.workspace import Workspace
from redetail.progress import CancelToken, ProgressCallback, no_progress, with_progress
from redetail.region import Region, Size
from redetail.selection import Filter, Search, SelectedRegions, Selection, select_regions
from redetail.selection.subjects import FoundSubject, numbered
from redetail.settings import Settings
from redetail.video import Frame, FrameSource
from redetail.video.span import Span

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One run over one source: what its passes share.

    ``strict``: damaged masks and hints are refused; ``save_hints``: a folder that does not exist yet, for pictures of
    what the engine's ControlNets were shown; ``memory``: the most bytes of main memory that the run may take (None:
    most of what is free); ``background``: the engine also enlarges everything outside the subjects.
    """

    source: FrameSource
    engine: Engine
    settings: Settings
    progress: ProgressCallback = no_progress
    cancel: CancelToken | None = None
    subjects: Sequence[Subject] = ()
    save_hints: Path | None = None
    strict: bool = False
    memory: int | None = None
    background: bool = False
    watch: Stopwatch = field(default_factory=Stopwatch)
    _hints: Mapping[str, FrameSource] = field(init=False, repr=False)
    _folder: HintFolder | None = field(init=False, repr=False)
    _beside: tuple[str, ...] = field(init=False, default=(), repr=False)

    def __post_init__(self) -> None:
        # Impossible settings are refused before a long clip is searched, not after.
        capabilities = self.engine.capabilities
        check_subjects(self.subjects, self.settings, self.engine)
        if self.save_hints is not None and not capabilities.hints:
            raise SettingsError(
                f"There are no hints to save in {self.save_hints}, because the model has no ControlNet; leave "
                "save-hints out."
            )
        self._hints = open_hints(capabilities.hints, self.source.info, strict=self.strict)
        self._folder = None if self.save_hints is None else HintFolder(self.save_hints)

    @property
    def faults(self) -> tuple[str, ...]:
        """What was missing or damaged in files that were read in addition to the clip: masks and hints."""
        return (*self._beside, *(fault for source in self._hints.values() for fault in source.faults))

    def plan(
        self, selection: Sequence[Selection], span: Span, filters: Sequence[Filter[Any]] = (), size: Size | None = None
    ) -> Plan:
        """Pass 1: find the subjects, leave some out, and decide how each of the others is cropped and scaled.

        ``size``: the output's size (None: the source's). Raises :class:`~redetail.errors.SettingsError` if the run does
        not fit into its memory.
        """
        self._memory(size).check_frames()
        return self.plan_for(self.find(selection, span, filters), size)

    def find(self, selection: Sequence[Selection], span: Span, filters: Sequence[Filter[Any]] = ()) -> SelectedRegions:
        """The first half of pass 1: who is where."""
        with self._pass("detect"):
            search = Search(
                self.source, span, self.settings.crop_factor, self.progress, self.cancel, strict=self.strict
            )
            found = select_regions(selection, search, filters)
            self._beside = search.faults
            return found

    def plan_for(self, found: SelectedRegions, size: Size | None = None) -> Plan:
        """The second half of pass 1: how each subject is cropped and scaled; see :meth:`plan` for the rest."""
        with self._pass("detect"):
            detailed, shapeless = self._shaped(found.found, [one.number for one in found.left_out])
        clip, multiple = range(found.start, found.stop), self.engine.capabilities.size_multiple

        def cut(budgets: Budgets) -> tuple[tuple[CropPlan, ...], tuple[CropPlan, ...]]:
            return self._crops(detailed, budgets), self._background(clip, size, budgets)

        crops, background = cut(self._budgets)
        budgets = self._memory(size).fitted((*crops, *background), self._budgets, multiple)
        if budgets != self._budgets:
            crops, background = cut(budgets)
        asked = dict.fromkeys(
            note
            for settings in (self.settings, *(crop.settings for crop in crops))
            for note in prompt_notes(settings, self.engine.capabilities)
        )
        beside = (*self.source.info.notices, *self.source.faults, *self._beside)
        notices = (*beside, *found.notices, *shapeless, *asked)
        return Plan(
            found.start,
            found.stop,
            self.source.info.size,
            crops,
            notices,
            self.settings,
            self._placement((*crops, *background)),
            budgets,
            found.left_out,
            noise_level(self.engine, self.settings),
            background,
        )

    def _placement(self, crops: Sequence[CropPlan]) -> Mapping[str, Any]:
        """Where and how the engine computes, and the memory that its largest crops take, if the engine knows it."""
        placement = self.engine.capabilities.placement
        if not crops or not isinstance(self.engine, PlansMemory):
            return placement
        plans = [
            self.engine.memory_plan(max(map(len, crop.stretches)), crop.padding.padded(crop.working)) for crop in crops
        ]
        most = max(plans, key=lambda plan: plan.get("needed", 0))
        return {**placement, "memory": dict(most)} if most else placement

    def plan_of(self, regions: Sequence[Region]) -> Plan:
        """A plan for regions that are already known, over the frames that they span."""
        first = min((region.start for region in regions), default=0)
        last = max((region.stop for region in regions), default=0)
        crops = self._crops(region_settings(numbered(regions), self.subjects, self.settings), self._budgets)
        return Plan(first, last, self.source.info.size, crops, budgets=self._budgets)

    @contextmanager
    def enhanced(
        self,
        plan: Plan,
        workspace: Workspace | None = None,
        executor: Executor | None = None,
        only: Collection[tuple[int, int]] | None = None,
    ) -> Iterator[list[JoinedCrops]]:
        """Pass 2: the enhanced crops of every region, on disk while the context lasts.

        ``workspace``: where results are stored, and where finished ones may already be (None: a temporary workspace);
        ``executor``: what runs the tasks (None: this process, on the engine of the run); ``only``: keys of the tasks to
        run (None: all); then only frames of these tasks can be read.
        """
        with Workspace.temporary() if workspace is None else nullcontext(workspace) as space:
            if space.manifest is not None:
                own = source_fingerprint(self.source.info), engine_identity(self.engine.capabilities)
                asked = replace(space.manifest, plan=plan, source=own[0], engine=own[1])
                space.manifest.check(asked, space.folder)
            tasks = plan_tasks(plan, space.folder, tuple(self._hints), self._saved(plan), durable=space.durable)
            wanted = [task for task in tasks if only is None or task.key in only]
            self._enhance(wanted, space, executor or SerialExecutor(self.engine))
            yield joined(plan, tasks)
            if self._folder is not None:
                self._folder.fill(space.hints)

    def write(
        self,
        plan: Plan,
        crops: Sequence[Crops],
        write: Callable[[PastedFrame], None] | None,
        size: Size | None = None,
        watch: Callable[[PastedFrame, Sequence[FrameMeasures]], None] | None = None,
    ) -> Measures:
        """Pass 3: enlarge every frame to ``size``, paste into it, measure it and pass it to ``write``.

        ``watch`` gets every frame with its figures. Frames that nothing is pasted into are not read if both ``write``
        and ``watch`` are missing.
        """
        size = size or plan.size
        measures = Measures(plan.regions, ratios(plan.size, size), (plan.start, plan.stop))
        if write is None and watch is None and not plan.all_crops:
            measures.pass_over(len(plan))
            return measures
        with self._pass("write"), behind(write or _drop) as write_behind:
            frames = self._frames(plan, "write")
            feathers = [crop.settings.paste_feather for crop in plan.crops]
            subjects, tiles = crops[: len(plan.crops)], crops[len(plan.crops) :]
            background = Background([one.region for one in plan.background], tiles, plan.size, size)
            change = background.change if tiles else None
            for pasted in pasted_frames(frames, plan.regions, subjects, feathers, size, change):
                write_behind(pasted)
                figures = measures.add(pasted)
                if watch is not None:
                    watch(pasted, figures)
        return measures

    def estimate(self, plan: Plan, size: Size | None = None) -> Estimate:
        """An estimate for the second and third pass; ``size``: the output's size (None: the source's)."""
        return estimated(plan, self._memory(size), self.engine, self.cancel)

    def _memory(self, size: Size | None) -> MemoryBudget:
        """The memory budget of the run, for an output of this size."""
        frame = size or self.source.info.size
        return MemoryBudget.of(self.memory, frame, self.engine.capabilities.cost, background=self.background)

    def _shaped(
        self, found: Sequence[FoundSubject], left_out: Collection[int]
    ) -> tuple[list[RegionSettings], list[str]]:
        """The regions that are detailed, with their own settings and with masks of the shapes that these settings
        request, and messages about the masks."""
        detailed = region_settings(found, self.subjects, self.settings, left_out)
        if not needs_frames(detailed):
            return shaped(detailed, ())
        first, last = min(one.region.start for one in detailed), max(one.region.stop for one in detailed)
        frames = self.source.frames(first, last)
        return shaped(detailed, with_progress(frames, last - first, "detect", self.progress, self.cancel))

    def _crops(self, detailed: Sequence[RegionSettings], budgets: Budgets) -> tuple[CropPlan, ...]:
        """How the regions that are detailed are cropped, scaled and cut into stretches."""
        multiple = self.engine.capabilities.size_multiple
        return tuple(crop_plan(one.region, one.settings, multiple, one.track, budgets) for one in detailed)

    def _background(self, frames: range, size: Size | None, budgets: Budgets) -> tuple[CropPlan, ...]:
        """The background tiles for an output of this size; none if the engine does not enlarge the background."""
        if not self.background or size is None or not frames:
            return ()
        multiple = self.engine.capabilities.size_multiple
        return background_crops(frames, self.source.info.size, size, self.settings, multiple, budgets)

    @property
    def _budgets(self) -> Budgets:
        return Budgets.of(self.engine.capabilities)

    @contextmanager
    def _pass(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        with self.watch(name), ONE_THREAD.held():
            yield
        log.info("Pass %s: %.3f s", name, time.perf_counter() - started)

    def _frames(self, plan: Plan, stage: str) -> Iterator[Frame]:
        frames = ahead(self.source.frames(plan.start, plan.stop))
        return with_progress(frames, len(plan), stage, self.progress, self.cancel)

    def _enhance(self, tasks: Sequence[Task], space: Workspace, executor: Executor) -> None:
        """Run the tasks that are not done."""
        finished = {task for task in tasks if space.done(task)}
        left = [task for task in tasks if task not in finished]
        if not left:
            return
        first, last = min(task.start for task in left), max(task.stop for task in left)
        with self._pass("crop"):
            space.check_room(left, executor.in_flight)
            size = self.source.info.size
            hints = {name: HintFrames(name, source, size, first, last) for name, source in self._hints.items()}
        with self._pass("detail"):
            decoded = ahead(self.source.frames(first, last))
            frames = with_progress(decoded, last - first, "crop", self.progress, self.cancel)
            tally = Tally(self.progress, tasks)
            for task in finished:
                tally.finish(task)
            enhance(self._cropping(feed(left, frames, space, hints)), executor, space, tally, self.cancel)

    def _cropping(self, fed: Iterator[Task]) -> Iterator[Task]:
        """The same tasks; the time spent on feeding them is counted as cropping."""
        while True:
            with self.watch("crop"):
                task = next(fed, None)
            if task is None:
                return
            yield task

    def _saved(self, plan: Plan) -> list[HintNames] | None:
        """The names of pictures of hints, hints from files first; None if none are saved."""
        if self._folder is None:
            return None
        return hint_names_of(plan.all_crops, (*self._hints, *self.engine.capabilities.hints))


def _drop(frame: PastedFrame) -> None:
    """The writer if no output takes frames."""
