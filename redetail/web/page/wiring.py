"""Which event of the page calls which handler, with which inputs and outputs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from redetail.web.page.handlers import Handlers, said
from redetail.web.page.layout import Parts

_PRIVATE: dict[str, Any] = {"api_visibility": "private", "api_name": False}
"""The page has no interface for programs: that is the command line."""
_QUIET: dict[str, Any] = {**_PRIVATE, "show_progress": "hidden"}


def order_inputs(parts: Parts) -> list[Any]:
    """The inputs that make an order, in the order in which :meth:`Handlers._order` reads them."""
    return [
        *(parts.clip, parts.start, parts.end, parts.cards, parts.boxes, parts.mask, parts.detect, parts.who),
        *(parts.scale, parts.preset, parts.name),
        *parts.settings.values(),
        *parts.models.values(),
    ]


def wire(page: gr.Blocks, parts: Parts, handlers: Handlers) -> None:
    """Connect the parts of a page."""
    with page:
        _lists(page, parts, handlers)
        _marks(parts, handlers)
        _work(parts, handlers)
        _jobs(parts, handlers)


def _lists(page: gr.Blocks, parts: Parts, handlers: Handlers) -> None:
    models = list(parts.models.values())
    lists = [parts.clip, parts.folder, parts.job_file, parts.who, *models, parts.settings["loras"]]
    page.load(said(handlers.opened), [parts.clip], lists, **_QUIET)
    parts.upload.upload(said(handlers.upload), [parts.upload], [parts.clip], **_PRIVATE)
    parts.upload_person.upload(said(handlers.upload_person), [parts.upload_person, parts.who], [parts.who], **_PRIVATE)
    parts.clip.change(
        said(handlers.choose),
        [parts.clip],
        [parts.clip_view, parts.frame, parts.picture, parts.editor, parts.mask, parts.mask_state,
         parts.corner],
        **_QUIET,
    )  # fmt: skip


def _marks(parts: Parts, handlers: Handlers) -> None:
    pictures = [parts.picture, parts.editor]
    parts.frame.release(said(handlers.show_frame), [parts.clip, parts.frame, parts.boxes], pictures, **_QUIET)
    parts.picture.select(
        said(handlers.click),
        [parts.clip, parts.frame, parts.boxes, parts.corner, parts.follow],
        [parts.picture, parts.boxes, parts.corner],
        **_QUIET,
    )
    parts.use_mask.click(
        said(handlers.use_mask), [parts.clip, parts.editor], [parts.mask, parts.mask_state], **_PRIVATE
    )
    parts.drop_mask.click(said(handlers.drop_mask), None, [parts.mask, parts.mask_state], **_QUIET)


def _work(parts: Parts, handlers: Handlers) -> None:
    order = order_inputs(parts)
    parts.models["checkpoint"].input(
        said(handlers.choose_model),
        [parts.models["checkpoint"], parts.basis, *parts.settings.values()],
        [parts.basis, *parts.settings.values()],
        **_QUIET,
    )
    parts.find.click(said(handlers.find), order, [parts.find_state], **_PRIVATE)
    parts.preview.click(said(handlers.preview), [parts.other, parts.value, *order], [parts.preview_state], **_PRIVATE)
    parts.run.click(said(handlers.run), order, [parts.run_state], **_PRIVATE)
    parts.batch.click(said(handlers.batch), [parts.folder, parts.pattern, *order], [parts.tabs], **_PRIVATE)
    parts.timer.tick(
        said(handlers.tick),
        [parts.clip, parts.cards],
        [parts.runs, parts.find_state, parts.cards, parts.preview_state, parts.preview_view],
        **_QUIET,
    )
    parts.runs.click(
        said(handlers.act),
        None,
        [parts.runs, parts.result, parts.result_name, parts.result_frame, parts.result_picture],
        **_QUIET,
    )
    parts.result_frame.release(
        said(handlers.result_at), [parts.result_name, parts.result_frame], [parts.result_picture], **_QUIET
    )


def _jobs(parts: Parts, handlers: Handlers) -> None:
    parts.take.click(said(handlers.take_job), order_inputs(parts), [parts.text], **_PRIVATE)
    parts.run_job.click(said(handlers.run_job), [parts.text], [parts.tabs], **_PRIVATE)
    parts.save_job.click(said(handlers.save_job), [parts.text, parts.job_name], [parts.job_file], **_PRIVATE)
    parts.load_job.click(said(handlers.load_job), [parts.job_file], [parts.text], **_PRIVATE)
    parts.fill.click(
        said(handlers.fill),
        [parts.text],
        [
            parts.clip,
            parts.start,
            parts.end,
            parts.boxes,
            parts.detect,
            parts.who,
            parts.scale,
            parts.preset,
            *parts.settings.values(),
            parts.tabs,
        ],
        **_PRIVATE,
    )
