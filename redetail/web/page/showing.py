"""What the page shows of runs: the list, progress, found subjects, previews and results."""

from __future__ import annotations

from typing import Any

import gradio as gr

from redetail.errors import InputError
from redetail.evaluate.sheet import zoomed
from redetail.job import read_job
from redetail.region import Box, Size
from redetail.selection.tracks import read_tracks
from redetail.web.orders import JOB, REPORT, SHEET, TRACKS, Desk
from redetail.web.page.layout import NOTHING
from redetail.web.pictures import facts_of, frame_of
from redetail.web.runs import FINISHED, Kind, Run, State, Status, status_of
from redetail.web.views import batch_view, preview_view, progress_bar, result_view, run_list, subject_cards

_MOST_ROWS = 60
NOTE = "<p class='rd-note' role='status'>{}</p>"


class Showing:
    """Values for the components that show the runs of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ended: dict[str, Status] = {}

    def rows(self) -> str:
        """The list of runs."""
        queue = self._desk.queue
        return run_list([(run, self._status(run), queue.position(run)) for run in queue.runs()[:_MOST_ROWS]])

    def _status(self, run: Run) -> Status:
        """How far a run is; read only once if it has ended."""
        if run.state in (State.WAITING, State.RUNNING):
            return status_of(run)
        key = f"{key_of(run)}/{run.state}"
        if key not in self._ended:
            self._ended[key] = status_of(run)
        return self._ended[key]

    def progress(self, run: Run | None) -> str:
        """One line about a run that is not done."""
        if run is None or run.state in FINISHED:
            return ""
        if run.state is State.RUNNING:
            return progress_bar(run, status_of(run))
        words = {
            State.WAITING: f"Waiting; number of runs ahead of this one: {self._desk.queue.position(run)}.",
            State.STOPPED: "Stopped.",
        }
        return NOTE.format(words.get(run.state) or run.message)

    def cards(self, clip: Any, found: Run | None, cards: Any) -> Any:
        """The subjects, if the page does not show those that were found last."""
        present = cards.get("shown") if isinstance(cards, dict) else None
        if found is None or found.state not in FINISHED:
            return gr.skip() if present == "" else NOTHING
        if present == key_of(found):
            return gr.skip()
        tracks, facts = read_tracks(found.folder / TRACKS), facts_of(self._desk.folder.inside(clip))
        html = subject_cards(found, tracks, facts.frames, facts.rate or 1.0)
        return {"html": html, "chosen": [one.label for one in tracks.subjects], "shown": key_of(found)}

    def preview(self, run: Run | None) -> str:
        """The pictures of a preview that is done."""
        if run is None or run.state not in FINISHED:
            return ""
        return preview_view(run) if (run.folder / SHEET).is_file() else NOTE.format("There is no subject to show.")

    def result(self, run: Run) -> list[Any]:
        """The result, the run's name, the slider of frames and the pictures before and after."""
        if run.state not in FINISHED or run.output is None:
            raise InputError(f"The run {run.title} has no result yet.")
        name = self._desk.folder.name(run.output)
        if run.kind is Kind.BATCH:
            names = [one for one in self._desk.folder.clips() if one.startswith(f"{name}/")]
            return [batch_view(name, names), run.name, gr.update(visible=False), gr.update(visible=False)]
        view = result_view(run, name, report=(run.folder / REPORT).is_file())
        frames = facts_of(run.output).frames
        middle = frames // 2
        slider = gr.update(maximum=max(1, frames - 1), value=middle, visible=frames > 1)
        return [view, run.name, slider, self.pair(run, middle)]

    def pair(self, run: Run, index: Any) -> Any:
        """Before and after; a part of a clip is compared from where it starts."""
        if run.output is None or run.kind is not Kind.DETAIL:
            return gr.update(visible=False)
        first = first_frame(run)
        after = frame_of(run.output, index)
        before = frame_of(run.source, index + first)
        height, width = after.shape[:2]
        before = zoomed(before, Box(0, 0, before.shape[1], before.shape[0]), Size(width, height))
        return gr.update(value=(before, after), visible=True)


def first_frame(run: Run) -> int:
    """The first frame of the source that a run detailed."""
    job = read_job(run.folder / JOB)
    return 0 if job.span.whole else next(job.span.select(job.open_source())).index


def key_of(run: Run) -> str:
    """A key that identifies one attempt of a run."""
    return f"{run.name}/{run.attempt}"
