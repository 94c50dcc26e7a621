"""Tasks: one region over one stretch, which any process that sees the workspace can run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from redetail.engines.arrays import run_checked
from redetail.engines.base import CropSource, Engine, Pixels, Request
from redetail.engines.prompt import starting_at
from redetail.imaging import masks, resample
from redetail.imaging.colour import match_low_frequencies
from redetail.machine import give_back_memory
from redetail.pipeline.crop_store import CropStore, Shape, stored_bytes
from redetail.pipeline.hints import HintNames, computed_hints, save_hints
from redetail.pipeline.packed_crops import PackedCrops
from redetail.pipeline.plan import CropPlan, Plan
from redetail.pipeline.stretches import Stretch
from redetail.progress import CancelToken, Progress, ProgressCallback
from redetail.region import Region
from redetail.settings import Settings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a finished task leaves next to its result file: which task it was, and how many frames it enhanced."""

    region: int
    number: int
    frames: int

    @property
    def key(self) -> tuple[int, int]:
        """What tells its task from the others of the plan."""
        return self.region, self.number


@dataclass(frozen=True, eq=False)
class Task:
    """One region over one stretch: reads source crops from the workspace's ``folder`` and writes its result there.

    ``region`` is the region's place in the plan and ``number`` the stretch's in the region, both from 0; ``crop`` is
    the region's plan, its region cut to the stretch. ``settings`` are those that the engine gets; ``total`` is the
    number of frames of the whole region. ``hints`` are the
    names of files of hints, whose crops the workspace holds too; ``saved`` says what the pictures of saved hints are
    called (None: none are saved). ``durable``: force the result to disk, so that a loss of power cannot damage it.
    ``attempt`` tells its unfinished file from that of a worker that was given up but may still write.
    """

    folder: Path
    region: int
    number: int
    crop: CropPlan
    stretch: Stretch
    settings: Settings
    total: int
    hints: tuple[str, ...] = ()
    saved: HintNames | None = None
    durable: bool = False
    attempt: str = ""

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from the other tasks of the plan."""
        return self.region, self.number

    @property
    def start(self) -> int:
        """Its first frame in the clip."""
        return self.crop.region.start

    @property
    def stop(self) -> int:
        """Index after its last frame in the clip."""
        return self.crop.region.stop

    @property
    def shape(self) -> Shape:
        """(F, h, w, 3) of its crops."""
        return (len(self.stretch), *self.crop.working.shape, 3)

    @property
    def source(self) -> CropStore:
        """The crops of the source."""
        return CropStore(self._path("sources", ""), self.shape)

    @property
    def hint_sources(self) -> dict[str, CropStore]:
        """The crops of each file of hints."""
        paths = {name: self._path("sources", f"-hint-{index}") for index, name in enumerate(self.hints, 1)}
        return {name: CropStore(path, self.shape) for name, path in paths.items()}

    @property
    def result(self) -> PackedCrops:
        """The enhanced crops, there once the task is done."""
        return PackedCrops(self._path("results", ""), self.shape)

    @property
    def source_bytes(self) -> int:
        """Disk space of its source crops and hints."""
        return stored_bytes(self.shape) * (1 + len(self.hints))

    def run(self, engine: Engine, report: Callable[[float], None], cancel: CancelToken | None = None) -> Outcome:
        """Enhance the source crops and store the result; ``report`` takes what share of the work is done, 0..1."""
        part = PackedCrops(self._path("results", f"{self.attempt}.part"), self.shape)
        try:
            part.create()
            run_checked(engine, self._request(part, _shares(report), cancel))
            part.seal(self.result.path, durable=self.durable)
        finally:
            part.drop()  # nothing is left of it once it is sealed
            give_back_memory()  # what one task leaves must not add to the peak of the next
        return Outcome(self.region, self.number, len(self.stretch))

    def _request(self, result: PackedCrops, progress: ProgressCallback, cancel: CancelToken | None) -> Request:
        """Crops go to the engine padded, and come back without padding and with the source's colours."""
        source, padding, settings = self.source, self.crop.padding, self.settings
        noised = NoiseMasks(self.crop, settings.mask_feather, settings.paste_feather)

        def write(start: int, pixels: Pixels) -> None:
            enhanced, stop = resample.unpad(pixels, padding), start + len(pixels)
            if settings.color_match:
                enhanced = match_low_frequencies(enhanced, source.read(start, stop), noised.read(start, stop))
            result.write(start, enhanced)

        crops = self._padded(source)
        return Request(
            crops=crops,
            mask=lambda start, stop: resample.pad(noised.read(start, stop), padding),
            write=write,
            settings=settings,
            first_frame=self.stretch.start,
            total_frames=self.total,
            hints=self._shown(crops),
            progress=progress,
            cancel=cancel,
        )

    def _shown(self, crops: CropSource) -> dict[str, CropSource]:
        """The hints that the engine is given; where they are saved, those too that it would compute itself."""
        given = {name: self._padded(store) for name, store in self.hint_sources.items()}
        if self.saved is None:
            return given
        shown = {**given, **computed_hints([name for name in self.saved if name not in given], crops)}
        first = self.stretch.shared
        for name, hints in shown.items():
            own = resample.unpad(hints.read(first, hints.frames), self.crop.padding)
            save_hints(self.folder / "hints", self.saved[name], own, self.start + first)
        return shown

    def _padded(self, store: CropStore) -> CropSource:
        padding = self.crop.padding
        return CropSource(
            lambda start, stop: resample.pad(store.read(start, stop), padding),
            len(store),
            padding.padded(self.crop.working),
        )

    def _path(self, kind: str, suffix: str) -> Path:
        return self.folder / kind / f"{self.region + 1}-{self.number + 1:05d}{suffix}.crops"


def plan_tasks(
    plan: Plan,
    folder: Path,
    hints: tuple[str, ...] = (),
    saved: Sequence[HintNames] | None = None,
    *,
    durable: bool = False,
) -> list[Task]:
    """Every task of a plan, in order of time: by the frame with which its source crops are complete.

    ``saved``: what pictures of each region's hints are called, by its place in the plan.
    """
    tasks = []
    for region, crop in enumerate(plan.all_crops):
        settings = _engine_settings(crop)
        for number, stretch in enumerate(crop.stretches):
            own = replace(crop, region=_cut(crop.region, stretch), stretches=())
            names = None if saved is None else saved[region]
            tasks.append(Task(folder, region, number, own, stretch, settings, len(crop.region), hints, names, durable))
    return sorted(tasks, key=lambda task: (task.stop, task.region))


class NoiseMasks:
    """What is re-diffused in the frames of a region, 0..1 at working size.

    Around a box that is all of what is pasted, its soft edge included; ``feather`` lies outside that.
    """

    def __init__(self, crop: CropPlan, feather: int, paste_feather: int) -> None:
        self._crop, self._feather = crop, feather
        own, pasted = (masks.feather_reach(one, crop.region.size) for one in (feather, paste_feather))
        self._margin = own + 2 * pasted
        self._still = crop.region.masks is not None and len(crop.region.masks) == 1
        self._made: dict[int, NDArray[np.float32]] = {}  # engine and colour matching read the same masks

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """The masks of frames start..stop, (n, h, w)."""
        return np.stack([self._one(0 if self._still else index) for index in range(start, stop)])

    def _one(self, index: int) -> NDArray[np.float32]:
        if index not in self._made:
            mask = self._crop.region.mask(index, margin=self._margin)
            self._made[index] = masks.noise_mask(mask, self._crop.working, self._feather)
        return self._made[index]


def _engine_settings(crop: CropPlan) -> Settings:
    """A region's settings as the engine gets them. A prompt's key frames are frames of the clip; the engine counts from
    the region's first. A loop is closed only where the engine gets all frames together."""
    settings = starting_at(crop.settings, crop.region.start)
    if settings.context_loop and len(crop.stretches) > 1:
        _LOG.warning(
            "The frames of %s do not fit into memory at once, so they are detailed in stretches, without context-loop.",
            crop.region.label,
        )
        settings = replace(settings, context_loop=False)
    return settings


def _cut(region: Region, stretch: Stretch) -> Region:
    """The region over the frames of a stretch, all that a task needs of it; it does not fade."""
    some = slice(stretch.start, stretch.stop)
    own = region.masks if region.masks is None or len(region.masks) == 1 else region.masks[some]
    return replace(
        region,
        start=region.start + stretch.start,
        path=region.path[some],
        boxes=region.boxes[some],
        masks=own,
        fade_in=0,
        fade_out=0,
    )


def _shares(report: Callable[[float], None]) -> ProgressCallback:
    """Turns an engine's progress (model calls) into a share of the task."""

    def share(progress: Progress) -> None:
        report(progress.done / progress.total if progress.total else 0.0)

    return share
