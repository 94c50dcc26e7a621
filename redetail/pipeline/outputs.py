"""Where the frames of a run go: to a file, a folder or memory, and to a comparison."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from redetail.errors import InputError, OutputError, SettingsError
from redetail.evaluate.layouts import Layout
from redetail.files import expanded, replacing
from redetail.job import Job
from redetail.optional import require
from redetail.pipeline.paste import PastedFrame
from redetail.pipeline.plan import Plan
from redetail.region import Region, Size
from redetail.video import EncodeOptions, FrameSink, FrameSource, VideoInfo, open_sink
from redetail.video.base import RGB
from redetail.video.span import Span
from redetail.video.target import check_name, check_target

Writer = Callable[[PastedFrame], None]
LABELS = ("before", "after")


class Outputs:
    """The outputs of one run. The constructor checks that all of them can be written, before hours of work.

    ``read``: files that the run reads in addition to its source; ``size``: size of the frames that will be written
    (None: the source's); ``span``: the part that will be written; ``layout``: the layout of the comparison, one of
    :data:`redetail.evaluate.layouts.LAYOUTS`. Raises :class:`~redetail.errors.OutputError` if an output cannot be
    written, and :class:`~redetail.errors.SettingsError` if two outputs have the same name.
    """

    def __init__(
        self,
        source: FrameSource,
        output: Path | None,
        compare: Path | None = None,
        report: Path | None = None,
        encode: EncodeOptions | None = None,
        read: Iterable[Path] = (),
        size: Size | None = None,
        span: Span | None = None,
        layout: str = "crops",
    ) -> None:
        self._source, self._encode, self._layout = source, encode, layout
        self._info = source.info if size is None else replace(source.info, size=size)
        self.output, self._compare, self.report = output, compare, report
        self._frames: list[RGB] = []
        self.notices: list[str] = []
        self.faults: list[str] = []
        folder = [source.info.path] if source.info.path is not None and os.path.isdir(source.info.path) else []
        check_names(self.named, [*read, *folder])
        for path, info, options in (
            (output, self._info, encode),
            (compare, _sized(self._info, self._compared(())), None),
        ):
            if path is not None:
                only = _check_single(path, source, span or Span())
                open_sink(path, info, stop=only, options=options)
        if report is not None:
            check_target(report, source.info.path)
            for module in ("jinja2", "PIL.Image") if is_page(report) else ():
                require(module)

    @classmethod
    def of(cls, job: Job, source: FrameSource, size: Size) -> Self:
        """The outputs of a job that writes frames of this size."""
        return cls(
            source, job.output, job.compare, job.report, job.encode, job.files, size, job.span, job.compare_layout
        )

    @property
    def named(self) -> tuple[Path, ...]:
        """The files and folders that will be written."""
        return tuple(path for path in (self.output, self._compare, self.report) if path is not None)

    @property
    def all_faults(self) -> tuple[str, ...]:
        """What was missing or damaged in the source: in its frames and in the streams that were copied."""
        return tuple(dict.fromkeys((*self._source.faults, *self.faults)))

    @property
    def collected(self) -> RGB | None:
        """All frames (F, H, W, 3) if no output was named, else None."""
        return np.stack(self._frames) if self.output is None and self._frames else None  # type: ignore[return-value]

    @contextmanager
    def opened(self, plan: Plan, whole: bool, *, strict: bool = False) -> Iterator[Writer | None]:
        """The function that takes pasted frames, or None if no output needs them; files get their names when the
        context ends without an error.

        ``whole``: the plan covers the whole clip; if nothing in it is detailed, the output is a copy of the source
        file. ``strict``: raise :class:`~redetail.errors.InputError` for streams that turn out to be damaged when they
        are copied.
        """
        with ExitStack() as stack:
            writers: list[Writer] = []
            sinks: list[FrameSink] = []
            copied = self.output if self._copies(plan, whole) else None
            if self.output is None:
                writers.append(lambda frame: self._frames.append(frame.result.pixels))
            elif copied is None:
                sinks.append(stack.enter_context(_sink(self.output, self._info, plan, whole, self._encode)))
                self.notices += sinks[-1].notices
                writers.append(_result_into(sinks[-1]))
            if self._compare is not None:
                compared = self._compared(plan.regions)
                sinks.append(stack.enter_context(_sink(self._compare, _sized(self._info, compared), plan, whole)))
                writers.append(_both_into(sinks[-1], compared))

            def write(frame: PastedFrame) -> None:
                for writer in writers:
                    writer(frame)

            yield write if writers else None
            for sink in sinks:  # all are complete before the first one gets its name
                sink.finish()
            if copied is not None:
                self._copy(copied)
            elif self.output is not None:
                self.faults.extend(sinks[0].faults)
            if strict and self.faults:
                fault = self.faults[0].split(";")[0].rstrip(".")
                raise InputError(f"{fault}; use an intact copy, or turn off the strict option.")

    def _compared(self, regions: Sequence[Region]) -> Layout:
        return Layout(self._layout, LABELS, regions, self._source.info.size, self._info.size)

    def _copies(self, plan: Plan, whole: bool) -> bool:
        """Whether the output is a copy of the source file."""
        if self.output is None or plan.crops or not whole or self._encode is not None:
            return False
        return self._unaltered(self.output)

    def _unaltered(self, output: Path) -> bool:
        """Whether a copy of the source would have the output's format and size."""
        path = self._source.info.path
        if self._info.size != self._source.info.size:
            return False
        return path is not None and os.path.isfile(path) and path.suffix.lower() == output.suffix.lower()

    def _copy(self, output: Path) -> None:
        source = self._source.info.path
        assert source is not None  # _same_kind
        with replacing(output) as temporary:
            shutil.copyfile(source, temporary)


def _result_into(sink: FrameSink) -> Writer:
    return lambda frame: sink.write(frame.result)


def _both_into(sink: FrameSink, layout: Layout) -> Writer:
    """Before and after in one picture."""

    def write(frame: PastedFrame) -> None:
        pictures = frame.source.pixels, frame.result.pixels
        sink.write(replace(frame.source, pixels=layout(frame.source.index, pictures), native=None))

    return write


def _check_single(path: Path, source: FrameSource, span: Span) -> int | None:
    """Raise :class:`~redetail.errors.OutputError` if a single picture would have to hold several frames.

    Containers only estimate their number of frames, so up to two frames are read. Returns the number of frames that the
    output will have, if it is known.
    """
    if path.suffix.lower() != ".png":
        return None
    if len(list(islice(span.select(source), 2))) > 1:
        raise OutputError(
            f"{path} can hold only one picture, but more than one frame would be written; give a folder name (without "
            "a suffix), a video name such as out.mp4, or a range of one frame, such as --end 1f."
        )
    return 1


def is_page(report: Path) -> bool:
    """Whether a report with this name is a web page."""
    return report.suffix.lower() in (".html", ".htm")


def check_names(written: Iterable[Path | None], read: Iterable[Path]) -> None:
    """Check that nothing is written twice, or over a file that the run reads, even if files may be replaced.

    Raises :class:`~redetail.errors.SettingsError` if two outputs have the same name, and
    :class:`~redetail.errors.OutputError` if an output is also an input.
    """
    inputs = [expanded(path) for path in read]
    seen: set[str] = set()
    for path in written:
        if path is None:
            continue
        check_name(path)
        real = os.path.realpath(path)
        if real in seen:
            raise SettingsError(f"Two outputs have the same name, {path}; give them different names.")
        if any(_is_read(Path(real), given) for given in inputs):
            raise OutputError(f"The output {path} is also an input of this run; choose another name.")
        seen.add(real)


def _is_read(path: Path, given: Path) -> bool:
    """Whether an existing file, whatever its name, is one that the run reads, or lies in a folder that it reads."""
    try:
        if not os.path.isfile(path) or not os.path.exists(given):
            return False
        return path.samefile(given) or (os.path.isdir(given) and path.is_relative_to(os.path.realpath(given)))
    except OSError:
        return False


def _sink(path: Path, info: VideoInfo, plan: Plan, whole: bool, encode: EncodeOptions | None = None) -> FrameSink:
    return open_sink(path, info, start=plan.start, stop=None if whole else plan.stop, options=encode)


def _sized(info: VideoInfo, layout: Layout) -> VideoInfo:
    """The same video with 8 bits and the size of the layout's pictures."""
    return replace(info, size=layout.size, bit_depth=8)
