"""Looks at results: :func:`preview` shows before a run what settings do, :func:`compare` measures what a run did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from redetail.api import Source, engine_for, frames_of, run_of
from redetail.arguments import check_run
from redetail.documents import shown
from redetail.engines.base import Engine
from redetail.errors import SettingsError, UnknownNameError
from redetail.evaluate.comparison import Comparison
from redetail.evaluate.comparison import compare as compare_clips
from redetail.evaluate.fidelity import vmaf_program
from redetail.files import expanded
from redetail.job import Job, search
from redetail.job.requested import RequestedSettings
from redetail.job.writing import BACKGROUNDS
from redetail.pipeline.preview import Preview, Variant, Way, make_preview
from redetail.pipeline.preview_pictures import check_preview, preview_files, write_preview
from redetail.pipeline.run import Run
from redetail.progress import CancelToken, ProgressCallback, no_progress
from redetail.region import Size
from redetail.selection import SelectedRegions
from redetail.selection.subjects import FoundSubject
from redetail.settings import display_name
from redetail.tracking.regions import region_from_boxes

MOMENTS = 4
MOST_MOMENTS = 24
MOST_VARIANTS = 12


def preview(
    source: Source | Job,
    output: str | Path | None = None,
    *,
    moments: int = MOMENTS,
    vary: Mapping[str, Sequence[Any]] | None = None,
    nearest: bool = False,
    loop: str | Path | None = None,
    engine: Engine | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **options: Any,
) -> Preview:
    """A few moments of the result of :func:`detail`, with one or several variants of the settings: the same pixels,
    sooner.

    ``source`` and ``options`` are those of :func:`detail`; ``source`` can also be a whole :class:`Job`. Their outputs
    are not written, and the background is enlarged with a Lanczos filter. ``output``: a folder for ``sheet.png`` and
    ``loop.webp``, or a PNG for the sheet, with the loop next to it; ``loop``: another file for the loop, a video or an
    animation. ``nearest``: enlarge the sheet by repeating pixels. ``moments``: the number of moments, 1 to 24: where a
    subject is largest, fastest and smallest, the middle of the clip, then others. ``vary``: values by setting (or
    ``preset``), as in ``{"denoise": [0.3, 0.5], "steps": [4, 8]}``; every combination is shown, up to 12. Subjects are
    found only once. Frames that are detailed together affect one another, so the preview computes those stretches of
    the whole run that contain the moments; :attr:`Preview.share` says what share of the work that is.

    Raises what :func:`detail` raises, :class:`redetail.UnknownNameError` for a setting that does not exist, and
    :class:`redetail.SettingsError` for too many variants.
    """
    check_run(engine, progress, cancel)
    job = (source if isinstance(source, Job) else Job(source=None).overlay(source=source)).overlay(**options)
    job = replace(job, output=None, compare=None, report=None, save_hints=None, background=BACKGROUNDS[0])
    _check_moments(moments)
    files = None if output is None else preview_files(expanded(output), None if loop is None else expanded(loop))
    varied = list(_varied(job, vary or {}))
    job.check()
    for _, one in varied:
        one.check()
    frames = job.open_source()
    if files is not None:
        check_preview(*files, frames.info)
    size, engine = job.output_size(frames.info.size), engine_for(job, engine)
    runs = [(variant, one, run_of(one, frames, engine, progress, cancel)) for variant, one in varied]
    found = _Found(runs[0][1], runs[0][2])
    ways = [Way(variant, run, run.plan_for(found.at(run))) for variant, _, run in runs]
    made = make_preview(ways, size, moments, progress)
    if files is not None and made.stills:
        write_preview(made, *files, nearest=nearest)
        made = replace(made, files=files)
    return made


@dataclass
class _Found:
    """The subjects of a job, found once by one of its runs; other runs can have other crop windows."""

    job: Job
    run: Run

    def __post_init__(self) -> None:
        self.found = self.run.find(self.job.selection, self.job.span, self.job.filters)

    def at(self, run: Run) -> SelectedRegions:
        """The subjects with the crop windows of a run."""
        factor = run.settings.crop_factor
        if factor == self.run.settings.crop_factor:
            return self.found
        if any(one.name not in ("detect", "tracks") for one in self.job.selection) or self._masked:
            return run.find(self.job.selection, self.job.span, self.job.filters)
        size = self.run.source.info.size
        return replace(
            self.found,
            found=[_refitted(one, size, factor) for one in self.found.found],
            subjects=[_refitted(one, size, factor) for one in self.found.subjects],
        )

    @property
    def _masked(self) -> bool:
        return any(region.masks is not None for region in self.found.regions)


def _refitted(subject: FoundSubject, size: Size, crop_factor: float) -> FoundSubject:
    """A subject with windows of another crop factor, if it was followed by boxes."""
    regions = []
    for one in subject.regions:
        own = region_from_boxes(one.label, one.confidence, one.start, one.boxes, size, crop_factor)
        regions.append(replace(one, size=own.size, path=own.path))
    return replace(subject, regions=tuple(regions))


def _check_moments(moments: Any) -> None:
    if isinstance(moments, bool) or not isinstance(moments, int) or not 1 <= moments <= MOST_MOMENTS:
        raise SettingsError(f"moments is {shown(moments)}; give a whole number from 1 to {MOST_MOMENTS}.")


def _varied(job: Job, vary: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Variant, Job]]:
    """Every combination of values, and the job with these values."""
    values = {known_setting(name): _listed(name, given) for name, given in vary.items()}
    if len(values) < len(vary):
        raise SettingsError(
            "The same setting is given twice in vary; give all its values together, as in denoise=0.3,0.5."
        )
    count = prod(map(len, values.values()))
    if count > MOST_VARIANTS:
        counts = " x ".join(f"{len(some)} values of {display_name(name)}" for name, some in values.items())
        raise SettingsError(
            f"{counts} make {count} variants; a preview shows at most {MOST_VARIANTS}, so vary fewer values at once."
        )
    for combination in product(*values.values()):
        settings = dict(zip(values, combination, strict=True))
        label = ", ".join(f"{display_name(name)} {_words(value)}" for name, value in settings.items())
        yield Variant(label or "result", settings), job.overlay(**settings)


def known_setting(name: str) -> str:
    """The setting that a name means, spelled as on the command line or as in Python.

    Raises :class:`~redetail.errors.UnknownNameError`, which suggests the name that was probably meant.
    """
    plain = name.replace("-", "_")
    for known in RequestedSettings.NAMES:
        if plain in (known, display_name(known)):
            return known
    typed = [display_name(one) for one in RequestedSettings.NAMES]
    raise UnknownNameError("setting", name, typed)


def _listed(name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise SettingsError(
            f"The values of {display_name(name)} in vary are {shown(given)}; give a list of at least one value."
        )
    return tuple(given)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return " + ".join(Path(str(one)).name for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def compare(
    source: Source,
    results: Source | Mapping[str, Source],
    *,
    original: Source | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    **options: Any,
) -> Comparison:
    """Measure what this or any other tool did to the subjects of a clip.

    ``results``: one result, or several by name; ``original``: the clip as it should be, if there is one. All show the
    same scene, at any size. ``options`` select the subjects as in :func:`detail`. Subjects are searched for in the
    original if there is one, else in the source; boxes, masks and segments are in pixels of that clip.

    Raises :class:`redetail.InputError` for clips that differ in shape or length, and what :func:`detail` raises for
    selections.
    """
    check_run(None, progress, cancel)
    named = results if isinstance(results, Mapping) else {"result": results}
    searched = frames_of(source if original is None else original)
    found = search(Job().overlay(source=searched, **options), progress=progress, cancel=cancel)
    return compare_clips(
        frames_of(source),
        {name: frames_of(result) for name, result in named.items()},
        found.regions,
        None if original is None else searched,
        framed=searched.info.size,
        vmaf=vmaf_program(),
        progress=progress,
        cancel=cancel,
    )
