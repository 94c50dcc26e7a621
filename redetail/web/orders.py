"""Turns the page's orders into runs: a job file in the folder of the run, and the commands that run it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redetail.documents import shown
from redetail.engines.architectures import all_presets
from redetail.engines.defaults import default_settings
from redetail.engines.spec import WeightedFile, as_spec
from redetail.errors import InputError, SettingsError
from redetail.evaluate.sheet import save_png
from redetail.files import cannot_write, write_text
from redetail.job import Job, text_of
from redetail.selection.track_edits import kept
from redetail.selection.tracks import read_tracks
from redetail.settings import Settings, display_name, resolve
from redetail.video.options import CONTAINERS
from redetail.video.target import check_target
from redetail.web.folder import PICTURES, Folder, safe_name
from redetail.web.marks import Marks
from redetail.web.queue import RunQueue
from redetail.web.runs import FINISHED, Kind, Run

MOMENTS = 3
"""Of a preview."""
TRACKS, MASK, JOB, REPORT, PREVIEW = "tracks.json", "mask.png", "job.toml", "report.html", "preview"
SHEET, LOOP = f"{PREVIEW}/sheet.png", f"{PREVIEW}/loop.webp"
_LONGEST = 20_000
"""Characters of a job file."""
_MOST_PEOPLE = 16
_DETECT, _WHO = "--detect=", "--who="


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the page orders; everything comes from a browser and is checked here.

    ``clip``: a name in the folder; ``found``: the run that found the subjects, and ``chosen`` the labels of those to
    detail (None: all); ``detect``: what to search for, ``who``: pictures of the people to detail, by their names in the
    folder; ``mask``: (H, W) uint8, not 0 if something is painted.
    """

    clip: Any
    start: str = ""
    end: str = ""
    found: Run | None = None
    chosen: Sequence[str] | None = None
    detect: Any = ""
    who: Any = ()
    marks: Marks = Marks()
    mask: NDArray[np.uint8] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    scale: str = ""
    output: str = ""


class Desk:
    """Takes orders for the clips of a folder and queues them.

    ``config``: the values for whatever an order leaves open; the commands of runs read no config file.
    """

    def __init__(self, folder: Folder, queue: RunQueue, config: Job | None = None) -> None:
        self.folder, self.queue = folder, queue
        self.config = replace(config or Job(), config=False)

    def defaults(self, model: Any) -> Settings:
        """The default settings of a model, by its name in the folder of models ("": the usual one).

        Raises :class:`~redetail.errors.RedetailError` for a file that does not exist or holds no weights.
        """
        usual = as_spec(self.config.model).checkpoint
        known = default_settings(self.folder.model(model) if model else usual)
        return resolve(self.config.settings, known.as_dict(), all_presets())

    def find(self, order: Order) -> Run:
        """Queue a search for the subjects of a clip."""
        source = self.folder.inside(order.clip)
        Job().overlay(source=source, **_span(order), **self._search(order))
        span = [f"--{name}={value}" for name, value in _span(order).items()] + ["--strict"] * self.config.strict

        def make(folder: Path) -> Run:
            command = "track", str(source), *span, *self._searching(order), "-o", str(folder / TRACKS), "--overwrite"
            return _run(folder, Kind.FIND, f"Find subjects in {source.name}", (command,), source)

        return self.queue.add(make)

    def latest(self, kind: Kind, clip: Any) -> Run | None:
        """The newest run of that kind for a clip."""
        try:
            source = self.folder.inside(clip)
        except InputError:
            return None
        return next((run for run in self.queue.runs() if run.kind is kind and run.source == source), None)

    def job(self, order: Order, folder: Path | None = None) -> Job:
        """The job of an order; tracks and mask are written to its run's ``folder`` (None: they are only named)."""
        source = self.folder.inside(order.clip)
        job = self._base(order).overlay(
            source=source,
            **_span(order),
            **self._selected(order, folder),
            **self._model(order),
            scale=order.scale or None,
            preset=order.preset or None,
            **self._settings(order),
        )
        job.check()
        return job

    def kept_job(self, order: Order) -> Job:
        """The job of an order for a job file: its tracks and its mask are written to a folder that no run removes."""
        mask = b"" if order.mask is None else order.mask.tobytes()
        found = "" if order.found is None else f"{order.found.name} {order.found.attempt} {order.chosen}"
        name = hashlib.sha256(found.encode() + b"\0" + mask).hexdigest()[:16]  # the same order uses the same files
        folder = self.folder.state / "jobs" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return self.job(order, folder)

    def detail(self, order: Order) -> Run:
        """Queue the whole run for a clip."""
        source = self.folder.inside(order.clip)
        return self.queue.add(lambda folder: self._detail(self._named(self.job(order, folder), order, source), folder))

    def run_text(self, text: Any) -> Run:
        """Queue the job in a text that has the form of a job file."""
        job = self.read_text(text)
        if not isinstance(job.source, Path):
            raise SettingsError("The job does not name a source; add a line such as source = 'clip.mp4'.")
        output = job.output or self._free_output(job.source, job.source.stem)
        check_target(output, None)
        return self.queue.add(lambda folder: self._detail(replace(job, output=output), folder))

    def read_text(self, text: Any) -> Job:
        """The job of a text; names of files are relative to the folder, and may not lead out of it."""
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise SettingsError(f"The job must be text of at most {_LONGEST} characters.")
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"The job is not a valid TOML document ({error}); docs/jobs.md shows a job.") from error
        job = Job.from_document(document, self.folder.root)
        if job.config:
            job = Job.from_document(document, self.folder.root, self.config)
        job.check()
        written = (job.output, job.compare, job.report, job.save_hints)
        for path in (*written, *job.files, *([job.source] if isinstance(job.source, Path) else [])):
            if path is not None and not _is_name(path) and path not in self.config.files:
                self.folder.check(path)
        for path in written:
            if path is not None:
                self.folder.check_written(path)
        return job

    def preview(self, order: Order, vary: tuple[str, Sequence[Any]] | None = None) -> Run:
        """Queue a preview of a few moments, with the order's settings or with each of the values of a setting."""
        source = self.folder.inside(order.clip)
        values = [] if vary is None else [f"--vary={display_name(vary[0])}={'|'.join(map(_typed, vary[1]))}"]

        def make(folder: Path) -> Run:
            path = folder / JOB
            write_text(path, text_of(self.job(order, folder).to_document(), path))
            command = "preview", "--job", str(path), "-o", str(folder / PREVIEW), f"--moments={MOMENTS}", *values
            return _run(folder, Kind.PREVIEW, f"Preview of {source.name}", ((*command, "--overwrite"),), source)

        return self.queue.add(make)

    def batch(self, order: Order, clips: Any, pattern: Any) -> Run:
        """Queue all clips of a folder, with the settings of an order."""
        inputs = self.folder.inside(clips)
        if not inputs.is_dir() or not isinstance(pattern, str):
            raise InputError(f"{shown(clips)} is not a folder of clips; choose one from the list.")
        job = self._base(order).overlay(
            **self._search(order),
            **self._model(order),
            scale=order.scale or None,
            preset=order.preset or None,
            **self._settings(order),
        )
        job.check()

        def make(folder: Path) -> Run:
            path, output = folder / JOB, self.folder.result(inputs.name, "", self.queue.outputs())
            write_text(path, text_of(job.to_document(), path))
            command = "batch", str(inputs), "-o", str(output), "--job", str(path), *_name(pattern)
            return _run(folder, Kind.BATCH, f"All clips in {inputs.name}", (command,), inputs, output)

        return self.queue.add(make)

    def _detail(self, job: Job, folder: Path) -> Run:
        assert isinstance(job.source, Path)
        assert job.output is not None
        path = folder / JOB
        write_text(path, text_of(job.to_document(), path))
        command = ["detail", "--quiet", "--job", str(path)]  # the page has its own words for the silenced messages
        if job.report is None:
            command += ["--report", str(folder / REPORT)]
        again = (*command, "--resume", "--overwrite")
        return _run(folder, Kind.DETAIL, job.source.name, (tuple(command),), job.source, job.output, (again,))

    def _named(self, job: Job, order: Order, source: Path) -> Job:
        """The job with its output."""
        stem = Path(safe_name(order.output)).stem if order.output.strip() else f"{source.stem}-detailed"
        return replace(job, output=self._free_output(source, stem))

    def _free_output(self, source: Path, stem: str) -> Path:
        suffix = source.suffix.lower()
        usual = suffix if suffix in (*CONTAINERS, ".webp", ".png") else ".mkv"
        return self.folder.result(stem, usual, self.queue.outputs())

    def _selected(self, order: Order, folder: Path | None) -> dict[str, Any]:
        """What is detailed: the chosen tracks, boxes and mask, or everything that is found if there are none."""
        selected = order.marks.as_options()
        if order.found is not None and (order.chosen is None or order.chosen):
            if set(self._searching(order)) != _searched(order.found):
                raise SettingsError('The subjects shown are from another search; press "Find subjects" again.')
            selected["tracks"] = self._tracks(order.found, order.chosen, folder)
        if order.mask is not None:
            selected["mask"] = (self.folder.state if folder is None else folder) / MASK
            if folder is not None:
                save_png(folder / MASK, np.repeat(order.mask[..., None], 3, 2))
        if order.found is not None and not selected:
            raise SettingsError("No subject is selected; click a face, or mark something else.")
        if selected and order.found is None and order.who:
            raise SettingsError(
                'A picture of a person applies only to subjects that were found; press "Find subjects", or remove '
                "either the picture or the marks."
            )
        return selected or self._search(order)

    def _search(self, order: Order) -> dict[str, Any]:
        """What to search for, as keywords of a job."""
        who = [self.folder.inside(name) for name in _names(order.who)]
        for path in who:
            if path.suffix.lower() not in PICTURES:
                raise SettingsError(f"{path.name} is not a picture; choose a picture of the person.")
        return {**({"detect": order.detect} if order.detect else {}), **({"who": who} if who else {})}

    def _searching(self, order: Order) -> list[str]:
        """The same as arguments of the command line."""
        search = self._search(order)
        detect = [f"{_DETECT}{search['detect']}"] if "detect" in search else []
        return [*detect, *(f"{_WHO}{path}" for path in search.get("who", ()))]

    def _tracks(self, found: Run, chosen: Sequence[str] | None, folder: Path | None) -> Path:
        if found.state not in FINISHED or found.kind is not Kind.FIND:
            raise SettingsError("The search for subjects has not finished; wait for it, or start it again.")
        document = found.folder / TRACKS
        if folder is None:
            return document
        tracks = read_tracks(document)
        only = tracks if chosen is None else kept(tracks, chosen)
        only = replace(only, subjects=tuple(replace(one, thumbnail=None) for one in only.subjects))
        write_text(folder / TRACKS, only.to_text())
        return folder / TRACKS

    def _base(self, order: Order) -> Job:
        """The values of the config file; the files of its model belong to its own checkpoint."""
        return replace(self.config, model=None) if order.model.get("checkpoint") else self.config

    def _model(self, order: Order) -> dict[str, Any]:
        files: dict[str, Any] = {}
        for name, value in order.model.items():
            if isinstance(value, list) and value:
                files[name] = tuple(self.folder.model(one) for one in value)
            elif value:
                files[name] = self.folder.model(value)
        return {"model": files} if files else {}

    def _settings(self, order: Order) -> dict[str, Any]:
        """The settings, with names of LoRA as files of the folder of models."""
        loras = [WeightedFile.parse(text) for text in order.settings.get("loras", ())]
        named = [str(WeightedFile(self.folder.model(str(one.path)), one.strength)) for one in loras]
        return {**order.settings, **({"loras": named} if named else {})}


def _run(
    folder: Path,
    kind: Kind,
    title: str,
    commands: tuple[tuple[str, ...], ...],
    source: Path,
    output: Path | None = None,
    again: tuple[tuple[str, ...], ...] | None = None,
) -> Run:
    """A run that starts again if it has nothing to resume; no config file changes what it does."""
    commands = tuple((*command, "--no-config") for command in commands)
    again = again and tuple((*command, "--no-config") for command in again)
    return Run(
        folder=folder, kind=kind, title=title, commands=commands, again=again or commands, source=source, output=output
    )


def _searched(found: Run) -> set[str]:
    """What a search was for, as arguments of its command."""
    return {argument for argument in found.commands[0] if argument.startswith((_DETECT, _WHO))}


def _names(given: Any) -> list[str]:
    """Names of files, as a list of texts; raises :class:`~redetail.errors.SettingsError`."""
    if not isinstance(given, list | tuple) or len(given) > _MOST_PEOPLE:
        raise SettingsError(
            f"The pictures of people were given as {shown(given)}; choose at most {_MOST_PEOPLE} from the list of "
            "pictures."
        )
    return list(given)


def _typed(value: Any) -> str:
    """A value of a setting as it is typed."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _is_name(path: Path) -> bool:
    """Whether it is the name of a hint that is computed, such as "tile", and not of a file."""
    return len(path.parts) == 1 and path.name not in ("", "..") and not path.exists()


def _span(order: Order) -> dict[str, str]:
    given = {"start": order.start, "end": order.end}
    for name, value in given.items():
        if not isinstance(value, str):
            raise SettingsError(
                f"The {name} is {shown(value)}; give seconds, a time such as 0:05, or a frame such as 120f."
            )
    return {name: value.strip() for name, value in given.items() if value.strip()}


def _name(pattern: str) -> tuple[str, ...]:
    return (f"--name={pattern.strip()}",) if pattern.strip() else ()
