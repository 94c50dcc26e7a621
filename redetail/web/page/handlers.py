"""What the page does. All input comes from a browser, perhaps an attacker's, and is checked where it is used."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from redetail.documents import shown
from redetail.errors import InputError, RedetailError
from redetail.files import write_text
from redetail.job import Job, to_toml
from redetail.selection.boxes import BoxSelection
from redetail.selection.detected import DetectorSelection
from redetail.selection.filters import WhoFilter
from redetail.selection.follow import FollowSelection
from redetail.video.span import Position
from redetail.web.folder import PICTURES, Folder, check_readable, safe_name
from redetail.web.forms import FormField, filled_in, varied, with_defaults
from redetail.web.marks import Marks, new_mark
from redetail.web.orders import Desk, Order
from redetail.web.page.layout import usual_model
from redetail.web.page.showing import NOTE, Showing, key_of
from redetail.web.pictures import facts_of, frame_of, marked_box, painted
from redetail.web.runs import FINISHED, Kind, Run
from redetail.web.views import clip_view

F = TypeVar("F", bound=Callable[..., Any])


def said(handler: F) -> F:
    """The handler, with the library's errors shown on the page."""

    @functools.wraps(handler)
    def told(*given: Any) -> Any:
        try:
            return handler(*given)
        except RedetailError as error:
            raise gr.Error(str(error), title="", print_exception=False) from error

    return told  # type: ignore[return-value]  # the same arguments and results


class Handlers:
    """The behaviour of the page: one method for each event, with the values of its inputs."""

    def __init__(self, desk: Desk, form: tuple[FormField, ...], models: tuple[str, ...], largest: int) -> None:
        self._desk, self._form, self._models, self._largest = desk, form, models, largest
        self._shown = Showing(desk)

    @property
    def _folder(self) -> Folder:
        return self._desk.folder

    # what there is

    def opened(self, clip: Any) -> list[Any]:
        """The lists of the page, when it is opened: clips, folders, job files, pictures, model files (once for each
        field)."""
        clips, models = self._folder.clips(), self._folder.model_files()
        chosen = clip if clip in clips else next((one for one in clips if not one.startswith("results/")), None)
        single = gr.update(choices=[usual_model(self._desk.config), *((one, one) for one in models)])
        others = [
            gr.update(choices=models) if several else gr.update(choices=[("None", ""), *((one, one) for one in models)])
            for several in self._several
        ]
        return [
            gr.update(choices=clips, value=chosen),
            gr.update(choices=self._folder.folders(), value=next(iter(self._folder.folders()), None)),
            gr.update(choices=self._folder.job_files()),
            gr.update(choices=self._folder.pictures()),
            single,
            *others,
            gr.update(choices=models),
        ]

    @property
    def _several(self) -> list[bool]:
        return [name.endswith("s") for name in self._models[1:]]

    # 1: the clip

    def upload(self, path: Any) -> Any:
        """Take an uploaded file into the folder and choose it."""
        name = self._taken(path)
        return gr.update(choices=self._folder.clips(), value=name)

    def upload_person(self, path: Any, who: Any) -> Any:
        """Take a picture of a person into the folder, and look for that person too."""
        name = self._taken(path)
        if not name.lower().endswith(PICTURES):
            raise InputError(f"{name} is not a picture; upload a picture of the person.")
        chosen = who if isinstance(who, list) else []
        return gr.update(choices=self._folder.pictures(), value=[*chosen, name])

    def _taken(self, path: Any) -> str:
        if not isinstance(path, str):
            raise InputError(f"The upload {shown(path)} is not a single file; upload one file.")
        place = self._folder.admit(Path(path), Path(path).name, self._largest, check_readable)
        Path(path).unlink(missing_ok=True)  # Gradio's own copy
        return self._folder.name(place)

    def choose(self, clip: Any) -> list[Any]:
        """Show a clip, and its first frame for marks."""
        if not clip:
            return ["", gr.update(maximum=1, value=0), None, None, None, "", None]
        path = self._folder.inside(clip)
        facts, picture = facts_of(path), frame_of(path, 0)
        last = gr.update(maximum=max(1, facts.frames - 1), value=0)
        editor = {"background": picture, "layers": [], "composite": None}
        return [clip_view(clip, facts), last, picture, editor, None, "", None]

    def show_frame(self, clip: Any, index: Any, boxes: Any) -> list[Any]:
        """Another frame to mark on."""
        picture = frame_of(self._folder.inside(clip), index)
        drawn = marked_box(picture, [], Marks.parse(boxes).on(int(index)))
        return [drawn, {"background": picture, "layers": [], "composite": None}]

    # 2: who

    def find(self, *values: Any) -> str:
        """Start the search for subjects."""
        run = self._desk.find(self._order(values))
        return self._shown.progress(run)

    def click(self, clip: Any, index: Any, boxes: Any, corner: Any, follow: Any, event: gr.SelectData) -> list[Any]:
        """The first corner of a box, or the second one."""
        x, y = (float(value) for value in event.index)
        picture, marks = frame_of(self._folder.inside(clip), index), Marks.parse(boxes)
        if corner is None:
            return [marked_box(picture, [(x, y)], marks.on(int(index))), boxes, (x, y)]
        line = new_mark(corner, (x, y), int(index) if follow is True else None)
        text = "\n".join(filter(None, [boxes.strip(), line]))
        return [marked_box(picture, [], Marks.parse(text).on(int(index))), text, None]

    def use_mask(self, clip: Any, value: Any) -> list[Any]:
        """Keep what was painted."""
        mask = painted(value, facts_of(self._folder.inside(clip)).size)
        if mask is None:
            raise InputError("Nothing has been painted yet; first paint over what you want to detail.")
        share = 100 * float((mask > 0).mean())
        return [mask, NOTE.format(f"The mask will be used; it covers {share:.1f}% of the frame.")]

    def drop_mask(self) -> list[Any]:
        """Detail without the mask."""
        return [None, ""]

    # 3: how

    def choose_model(self, model: Any, before: Any, *values: Any) -> list[Any]:
        """Replace the defaults of the model ``before`` by those of another one."""
        old, new = self._form_of(before), self._form_of(model)
        return [
            model,
            *(gr.update(value=fresh.default) if value == stale.default else gr.skip()
              for stale, fresh, value in zip(old, new, values, strict=True)),
        ]  # fmt: skip

    # 4: preview, 5: run

    def preview(self, other: Any, value: Any, *values: Any) -> str:
        """Start a preview of the page's settings, or of one of them at several values."""
        return self._shown.progress(self._desk.preview(self._order(values), varied(self._form, other, value)))

    def run(self, *values: Any) -> str:
        """Queue the work on the clip."""
        run = self._desk.detail(self._order(values))
        return NOTE.format(f'Queued as {run.name}; see the "Runs" tab. The run continues even if you close this page.')

    def batch(self, clips: Any, pattern: Any, *values: Any) -> Any:
        """Queue all clips of a folder."""
        self._desk.batch(self._order(values), clips, pattern)
        return gr.update(selected="runs")

    # while runs run

    def tick(self, clip: Any, cards: Any) -> list[Any]:
        """What changed since a second ago."""
        found, preview = self._desk.latest(Kind.FIND, clip), self._desk.latest(Kind.PREVIEW, clip)
        return [
            self._shown.rows(),
            self._shown.progress(found),
            self._shown.cards(clip, found, cards),
            self._shown.progress(preview),
            self._shown.preview(preview),
        ]

    def act(self, event: gr.EventData) -> list[Any]:
        """A button of the list of runs."""
        action, name = getattr(event, "action", None), getattr(event, "run", None)
        queue = self._desk.queue
        if action == "show":
            return [self._shown.rows(), *self._shown.result(queue.get(name))]
        if action not in ("stop", "resume", "remove"):
            raise InputError(f"There is no action {shown(action)}; use the buttons in the list.")
        {"stop": queue.stop, "resume": queue.resume, "remove": queue.remove}[action](name)
        return [self._shown.rows(), gr.skip(), gr.skip(), gr.skip(), gr.skip()]

    def result_at(self, name: Any, index: Any) -> Any:
        """Before and after at another frame."""
        return self._shown.pair(self._desk.queue.get(name), index)

    # the job file

    def take_job(self, *values: Any) -> str:
        """The job that the page describes."""
        return to_toml(self._desk.kept_job(self._order(values)).to_document())

    def run_job(self, text: Any) -> Any:
        """Queue a job file."""
        self._desk.run_text(text)
        return gr.update(selected="runs")

    def save_job(self, text: Any, name: Any) -> Any:
        """Write a job file into the folder."""
        self._desk.read_text(text)
        path = self._folder.new_file(f"{Path(safe_name(str(name or 'job'))).stem}.toml")
        write_text(path, str(text))
        gr.Info(f"Saved as {self._folder.name(path)}")
        return gr.update(choices=self._folder.job_files(), value=self._folder.name(path))

    def load_job(self, name: Any) -> str:
        """The text of a job file of the folder."""
        path = self._folder.inside(name)
        if path.suffix.lower() != ".toml":
            raise InputError(f"{shown(name)} is not a job file; choose a .toml file.")
        text = path.read_text(encoding="utf-8", errors="replace")[:20_000]
        self._desk.read_text(text)
        return text

    def fill(self, text: Any) -> list[Any]:
        """The fields of the page from a job file: clip, part, boxes, who, scale, preset, settings."""
        job = self._desk.read_text(text)
        clip = self._folder.name(job.source) if isinstance(job.source, Path) else None
        chooses = {*(one.name for one in job.selection), *(one.name for one in job.filters)}
        if chooses - {"box", "follow", "detect", "who"}:
            gr.Info(
                'The page cannot show how this job selects subjects, but the button "Run this job" runs the job as '
                "it is."
            )
        asked = job.settings
        return [
            gr.update(value=clip),
            _position(job.span.start),
            _position(job.span.end),
            str(_marks(job)),
            _detected(job),
            [self._folder.name(path) for one in job.filters if isinstance(one, WhoFilter) for path in one.value],
            "" if job.scale.value == 1 else f"{job.scale.value:g}",
            asked.get("preset", ""),
            *(asked.get(one.name, one.default) for one in self._form_of("")),
            gr.update(selected="detail"),
        ]

    # helpers

    def _order(self, values: tuple[Any, ...]) -> Order:
        """The order of the page's fields; see :func:`redetail.web.page.wiring.order_inputs`."""
        clip, start, end, cards, boxes, mask, detect, who, scale, preset, name, *rest = values
        found = self._desk.latest(Kind.FIND, clip)
        chosen = _chosen(cards, found)
        settings = dict(zip((one.name for one in self._form), rest, strict=False))
        models = dict(zip(self._models, rest[len(self._form) :], strict=True))
        form = self._form_of(models["checkpoint"])
        return Order(
            clip=clip,
            start=start or "",
            end=end or "",
            found=found if chosen is not None else None,
            chosen=chosen,
            detect=_text(detect),
            who=who or (),
            marks=Marks.parse(boxes or ""),
            mask=mask,
            settings=filled_in(form, settings),
            preset=_text(preset),
            model=models,
            scale=_text(scale),
            output=_text(name),
        )

    def _form_of(self, model: Any) -> tuple[FormField, ...]:
        """The form with the defaults of a model, by its name in the folder of models."""
        return with_defaults(self._form, self._desk.defaults(model))


def _chosen(cards: Any, found: Run | None) -> list[str] | None:
    """The labels that are ticked; None if no subjects are shown."""
    if found is None or found.state not in FINISHED:
        return None
    if not isinstance(cards, Mapping) or cards.get("shown") != key_of(found):
        return None
    chosen = cards.get("chosen")
    if not isinstance(chosen, list) or not all(isinstance(label, str) for label in chosen):
        raise InputError(
            f"The selection of subjects is {shown(chosen)}, which is not a list of names; select the subjects again."
        )
    return chosen


def _marks(job: Job) -> Marks:
    """The boxes of a job."""
    fixed = (box for one in job.selection if isinstance(one, BoxSelection) for box in one.boxes)
    followed = (box for one in job.selection if isinstance(one, FollowSelection) for box in one.boxes)
    return Marks(tuple(fixed), tuple(one if one.at else replace(one, at="0f") for one in followed))


def _detected(job: Job) -> str:
    """The name of what a job looks for."""
    names = [one.detector for one in job.selection if isinstance(one, DetectorSelection)]
    return next((name for name in names if isinstance(name, str)), DetectorSelection().to_document() or "")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{shown(value)} is not text; type it again.")
    return value.strip()


def _position(value: Position | None) -> str:
    return "" if value is None else str(value)
