"""``redetail evaluate``: results of any tool measured against what they were made from."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from redetail import judging
from redetail.cli.display import progress_display, tell
from redetail.cli.outputs import keep_existing, path_of
from redetail.cli.request import selected
from redetail.documents import counted
from redetail.errors import SettingsError, UnknownNameError
from redetail.evaluate.comparison import SOURCE, ClipFigures, Comparison, rows_of, worst_moments
from redetail.evaluate.layouts import LAYOUTS, Layout
from redetail.evaluate.sheet import Picture, contact_sheet, png, square_around, zoomed
from redetail.evaluate.subjects import SubjectFigures
from redetail.files import encoded, expanded, writing_together
from redetail.pipeline.outputs import check_names
from redetail.progress import CancelToken
from redetail.region import Region, Size
from redetail.video import FrameSource, open_sink, open_source
from redetail.video.target import check_target
from redetail.video.timing import timecode

_COLUMNS = ("sharpness", "flicker", "noise", "blocks", "seam", "colour")
_AGAINST = ("PSNR dB", "SSIM", "VMAF")
_TILE, _MOMENTS, _AROUND = 360, 3, 1.3


def evaluate(options: argparse.Namespace, cancel: CancelToken) -> None:
    """``redetail evaluate``."""
    report, sheet, video = path_of(options.report), path_of(options.sheet), path_of(options.video)
    keep_existing([report, sheet, video], options.overwrite)
    names = _named(options.results)
    clips = [expanded(options.input), *names.values()]
    original = path_of(options.original)
    check_names([report, sheet, video], [*clips, *([] if original is None else [original])])
    for path in (report, sheet):
        if path is not None:
            check_target(path, clips[0])
    if options.layout not in LAYOUTS:
        raise UnknownNameError("layout", options.layout, LAYOUTS)
    if video is not None:
        open_sink(video, open_source(clips[0]), source_path=clips[0])
    with progress_display(options.quiet) as progress:
        compared = judging.compare(
            clips[0],
            names,
            original=original,
            progress=progress,
            cancel=cancel,
            start=options.start,
            end=options.end,
            **selected(options),
        )
    contents: dict[Path, bytes] = {}
    if report is not None:
        contents[report] = encoded(json.dumps(compared.as_document(), indent=1) + "\n")
    if sheet is not None:
        contents[sheet] = png(comparison_sheet(compared, clips, original))
    with writing_together(contents):
        if video is not None:
            write_comparison(compared, clips, original, video, options.layout)
    if not options.quiet:
        tell("\n".join(_lines(compared, open_source(clips[0]).info.rate)) + "\n")


def _named(results: Sequence[str]) -> dict[str, Path]:
    """The results by name: NAME=FILE, or a file under its own name."""
    named: dict[str, Path] = {}
    for text in results:
        name, equals, file = text.partition("=")
        path = expanded(text) if not equals or os.path.exists(expanded(text)) else expanded(file)
        name = path.stem if str(path) == str(expanded(text)) else name
        if name in named or name == SOURCE:
            raise SettingsError(f"Two clips are called {name!r}; give them different names with NAME=FILE.")
        named[name] = path
    return named


def _lines(compared: Comparison, rate: Fraction) -> Iterator[str]:
    """The figures as one table for each subject, with verdicts and the moments that are worth a look."""
    found = [figures for figures in compared.clips[0].subjects if figures is not None]
    if not found:
        yield "No subject was found, so there is nothing to compare; mark one with --box."
        return
    frames = counted(compared.frames, "frame")
    yield f"{frames} of {compared.size}; clips from best to worst: {', '.join(compared.ranking)}"
    for number, source in enumerate(compared.clips[0].subjects):
        if source is not None:
            yield f"\n{source.subject}. {source.label}, in {len(source.frames)} frames"
            yield from _table(compared, number)
    for clip in compared.results:
        yield ""
        for verdict, figures in zip(clip.verdicts, clip.subjects, strict=True):
            if verdict is not None and figures is not None:
                yield f"{clip.name}, {figures.label}: {verdict.sentence}"
        for moment in worst_moments(compared.clips[0], clip):
            yield f"  look at {timecode(moment.frame, rate)} (frame {moment.frame}): {moment.why}"


def _table(compared: Comparison, number: int) -> Iterator[str]:
    heads = ["", *_COLUMNS, *(_AGAINST if compared.original else ())]
    rows = [_row(clip, number, compared.original) for clip in compared.clips]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, *rows]:
        yield "  " + "  ".join(cell.ljust(w) if not n else cell.rjust(w)
                               for n, (cell, w) in enumerate(zip(row, widths, strict=True)))  # fmt: skip


def _row(clip: ClipFigures, number: int, original: bool) -> list[str]:
    figures = clip.subjects[number]
    if figures is None:
        return [clip.name, *["-"] * (len(_COLUMNS) + (len(_AGAINST) if original else 0))]
    own = [
        f"{figures.sharpness:.2f}",
        _number(figures.flicker, 2),
        f"{figures.noise:.2f}",
        f"{figures.blockiness:.2f}",
        _number(figures.seam, 1),
        f"{max(map(abs, figures.colour)):.1f}",
    ]
    against = [_number(figures.psnr, 2), _number(figures.ssim, 3), _number(figures.vmaf, 1)]
    return [clip.name, *own, *(against if original else ())]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def write_comparison(
    compared: Comparison, clips: Sequence[Path], original: Path | None, video: Path, layout: str
) -> None:
    """Write all clips in one video, the original last; raises :class:`~redetail.errors.OutputError`."""
    names = [*(clip.name for clip in compared.clips), *([] if original is None else ["original"])]
    files = [*clips, *([] if original is None else [original])]
    start = min((region.start for region in compared.regions), default=0)
    stop = start + compared.frames
    draw = Layout(layout, names, compared.regions, compared.framed, compared.size)
    first = open_source(clips[0])
    info = replace(first.info, size=draw.size, bit_depth=8)
    rows = rows_of(
        [(name, open_source(file)) for name, file in zip(names, files, strict=True)], start, stop, compared.size
    )
    with open_sink(video, info, start=start, stop=stop) as sink:
        for frame, (index, pictures) in zip(first.frames(start, stop), rows, strict=True):
            sink.write(replace(frame, pixels=draw(index, pictures), native=None))


def comparison_sheet(compared: Comparison, clips: Sequence[Path], original: Path | None) -> Picture:
    """The subjects of all clips at a few moments, with one column for each clip and the original last.

    Raises :class:`~redetail.errors.SettingsError` if there is no subject to show.
    """
    shown: Mapping[str, Path] = dict(zip([clip.name for clip in compared.clips], clips, strict=True))
    shown = {**shown, **({} if original is None else {"original": original})}
    rows, labels = [], []
    for figures in compared.clips[0].subjects:
        if figures is not None:
            moments = _moments(figures)
            columns = [_tiles(open_source(path), compared.regions[figures.subject - 1], compared.framed, moments)
                       for path in shown.values()]  # fmt: skip
            rows += [list(row) for row in zip(*columns, strict=True)]
            labels += [f"{figures.subject}. {figures.label}, frame {frame}" for frame in moments]
    if not rows:
        raise SettingsError("There is no subject to draw; mark one with --box.")
    return contact_sheet(rows, list(shown), labels)


def _moments(figures: SubjectFigures) -> list[int]:
    """Frames spread over the time in which a subject is seen."""
    frames = [frame.frame for frame in figures.frames]
    count = min(_MOMENTS, len(frames))
    return [frames[len(frames) * (2 * n + 1) // (2 * count)] for n in range(count)]


def _tiles(source: FrameSource, region: Region, framed: Size, moments: Sequence[int]) -> list[Picture]:
    """The subject and a little around it in some frames of a clip of any size."""
    own, tiles = source.info.size, {}
    for frame in source.frames(min(moments), max(moments) + 1):
        if frame.index in moments:
            box = region.box(frame.index - region.start).scaled(own.width / framed.width, own.height / framed.height)
            tiles[frame.index] = zoomed(frame.pixels, square_around(box, _AROUND), Size(_TILE, _TILE))
    return [tiles[index] for index in moments]
