"""What is on the page, and where."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

from redetail.detection.registry import detector_names
from redetail.engines.architectures import all_presets
from redetail.engines.spec import as_spec
from redetail.job import Job
from redetail.web.forms import Control, FormField, by_group, several_models, single_models

TITLE = "redetail"
MASK_SHAPE = "mask_shape"
"""The setting that is shown next to what to search for."""
_CARDS = """
const sync = () => element.querySelectorAll('input[type=checkbox]').forEach(
  box => { box.checked = (props.value.chosen || []).includes(box.value); });
watch('value', sync);
element.addEventListener('change', () => {
  const chosen = [...element.querySelectorAll('input:checked')].map(box => box.value);
  props.value = {html: props.value.html, chosen: chosen, shown: props.value.shown};
});
"""
_ACTIONS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-do]');
  if (button) trigger('click', {action: button.dataset.do, run: button.dataset.run});
});
"""
SCRIPT = """
() => new MutationObserver(() => document.querySelectorAll('#result-picture').forEach(part =>
  part.querySelectorAll('img').forEach((picture, place) => {
    picture.alt ||= place ? 'After' : 'Before';
    picture.loading = 'eager';
  })
)).observe(document.body, {childList: true, subtree: true})
"""
"""Gives the pictures before and after, which Gradio leaves without a name, one, and loads them at once: a lazy picture
has no size until it is loaded, so the browser may never find it in view."""
NOTHING: dict[str, Any] = {"html": "", "chosen": [], "shown": ""}
"""No subjects on the page."""


class Parts(SimpleNamespace):
    """The components that handlers read and write, by name."""

    settings: dict[str, Any]
    models: dict[str, Any]


def usual_model(config: Job) -> tuple[str, str]:
    """The model that is used if no other is chosen."""
    named = as_spec(config.model).checkpoint
    return ("Built in" if named is None else f"{Path(named).name} (config file)"), ""


def css() -> str:
    """The style of the page."""
    return files(__package__).joinpath("style.css").read_text("utf-8")


def theme() -> Any:
    """Colours and fonts; these are the system's, so that nothing is fetched.

    Text is darker than Gradio's (lighter in dark mode), for a contrast of 4.5 (WCAG 2.2, level AA).
    """
    fonts = [gr.themes.Font("system-ui"), gr.themes.Font("Segoe UI"), gr.themes.Font("sans-serif")]
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("Consolas"), gr.themes.Font("monospace")]
    own = gr.themes.Default(primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=fonts, font_mono=mono)
    return own.set(
        body_text_color_subdued="*neutral_500",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def build(form: tuple[FormField, ...], model: tuple[str, str]) -> tuple[gr.Blocks, Parts]:
    """The page without its behaviour; the form has the defaults of ``model``, which is selected at first."""
    parts = Parts(settings={}, models={})
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        gr.HTML(
            "<header class='rd-title'><h1>redetail</h1><p>Sharper faces in video. Nothing else changes.</p></header>"
        )
        with gr.Tabs(elem_id="tabs") as parts.tabs:
            with gr.Tab("Detail", id="detail"), gr.Row(equal_height=False):
                with gr.Column(scale=5, min_width=340):
                    _clip(parts)
                    _subjects(parts, next(one for one in form if one.name == MASK_SHAPE))
                with gr.Column(scale=4, min_width=340):
                    _settings(parts, form, model)
                    _preview(parts, form)
                    _run(parts)
            with gr.Tab("Runs", id="runs"):
                _runs(parts)
            with gr.Tab("Folder", id="folder"):
                _batch(parts)
            with gr.Tab("Job file", id="job"):
                _job(parts)
        parts.timer = gr.Timer(1.0)
    parts.settings = {one.name: parts.settings[one.name] for one in form}  # in the order of the form
    return page, parts


def _clip(parts: Parts) -> None:
    with gr.Column(elem_classes="rd-step"):
        gr.HTML("<h2>1 · Clip</h2>")
        with gr.Row():
            parts.clip = gr.Dropdown([], label="Clip in the folder", allow_custom_value=True, scale=3, elem_id="clip")
            parts.upload = gr.UploadButton(
                "Upload a clip", file_count="single", scale=1, min_width=130, elem_id="upload"
            )
        parts.clip_view = gr.HTML("", elem_id="clip-view")
        with gr.Row():
            parts.start = gr.Textbox(label="From", placeholder="beginning", max_lines=1, min_width=120, elem_id="start")
            parts.end = gr.Textbox(
                label="To", placeholder="end (0:05 or 120f)", max_lines=1, min_width=120, elem_id="end"
            )


def _subjects(parts: Parts, shape: FormField) -> None:
    with gr.Column(elem_classes="rd-step"):
        gr.HTML("<h2>2 · Who</h2>")
        with gr.Row():
            names = [(name.replace("-", " ").capitalize(), name) for name in detector_names()]
            parts.detect = gr.Dropdown(names, value=names[0][1], label="Look for", min_width=130, elem_id="detect")
            parts.settings[shape.name] = _control(replace(shape, help=""))
            parts.find = gr.Button("Find subjects", min_width=130, elem_id="find")
        with gr.Accordion("Only the person shown in a picture", open=False, elem_id="person"), gr.Row():
            parts.who = gr.Dropdown(
                [], value=[], multiselect=True, label="Pictures of people", allow_custom_value=True, elem_id="who"
            )
            parts.upload_person = gr.UploadButton(
                "Upload a picture", file_count="single", scale=0, min_width=140, elem_id="upload-person"
            )
        parts.find_state = gr.HTML("", elem_id="find-state")
        parts.cards = gr.HTML(
            NOTHING, html_template="${value.html}", js_on_load=_CARDS, elem_id="cards", label="Subjects found"
        )
        with gr.Accordion("Mark something else", open=False, elem_id="mark"):
            parts.frame = gr.Slider(0, 1, 0, step=1, label="Frame to mark on")
            with gr.Tabs():
                with gr.Tab("Box: two clicks"):
                    parts.picture = gr.Image(
                        label="Click two corners",
                        alt_text="A frame of the clip",
                        interactive=False,
                        type="numpy",
                        buttons=[],
                        elem_id="box-picture",
                    )
                    parts.follow = gr.Checkbox(
                        False, label="Follow what the box shows",
                        info="forwards and backwards from the marked frame, within its shot",
                        elem_id="follow",
                    )  # fmt: skip
                    parts.boxes = gr.Textbox(
                        label="Boxes: one x1,y1,x2,y2 per line; add @TIME to follow what is inside", lines=2,
                        placeholder="40,60,180,220 or 40,60,180,220@12f", elem_id="boxes",
                    )  # fmt: skip
                    parts.corner = gr.State(None)
                with gr.Tab("Mask: paint"):
                    parts.editor = gr.ImageEditor(
                        label="Paint what to detail", type="numpy", sources=(), transforms=(), layers=False,
                        image_mode="RGBA", brush=gr.Brush(colors=["#14b8a6"], color_mode="fixed"), buttons=[],
                        elem_id="mask-editor",
                    )  # fmt: skip
                    with gr.Row():
                        parts.use_mask = gr.Button("Use this mask", size="sm")
                        parts.drop_mask = gr.Button("Remove the mask", size="sm")
                    parts.mask_state = gr.HTML("")
                    parts.mask = gr.State(None)


def _settings(parts: Parts, form: tuple[FormField, ...], model: tuple[str, str]) -> None:
    with gr.Column(elem_classes="rd-step"):
        gr.HTML("<h2>3 · How</h2>")
        with gr.Row():
            parts.models["checkpoint"] = gr.Dropdown(
                [model], value="", label="Model", allow_custom_value=True, min_width=180, elem_id="model"
            )
            presets = [("None", ""), *((name, name) for name in all_presets())]
            parts.preset = gr.Dropdown(presets, value="", label="Preset", min_width=120)
        parts.basis = gr.State("")
        with gr.Row():
            for fields in by_group(form, common=True).values():
                for one in fields:
                    parts.settings[one.name] = _control(one)
            parts.scale = gr.Textbox(
                label="Enlarge", info="a factor from 1 to 8, or a height in pixels", placeholder="1", max_lines=1,
                min_width=150,
            )  # fmt: skip
        with gr.Accordion("All settings", open=False, elem_id="all-settings"):
            for title, fields in by_group(form, common=False).items():
                with gr.Accordion(title.capitalize(), open=False):
                    for one in fields:
                        if one.name != MASK_SHAPE:
                            parts.settings[one.name] = _control(one)
            with gr.Accordion("Model files", open=False):
                _model_files(parts)


def _model_files(parts: Parts) -> None:
    for name in single_models():
        if name != "checkpoint":
            parts.models[name] = gr.Dropdown([("None", "")], value="", label=_title(name), allow_custom_value=True)
    for name in several_models():
        parts.models[name] = gr.Dropdown([], value=[], multiselect=True, label=_title(name), allow_custom_value=True)


def _control(one: FormField) -> Any:
    """The component of a setting."""
    shared: dict[str, Any] = {
        "label": one.label,
        "info": one.help or None,
        "elem_id": f"setting-{one.name}",
        "min_width": 150,
    }
    if one.control is Control.CHECK:
        return gr.Checkbox(one.default, **shared)
    if one.control is Control.CHOICE:
        return gr.Dropdown(list(one.choices), value=one.default, allow_custom_value=one.open, **shared)
    if one.control is Control.FILES:
        return gr.Dropdown([], value=[], multiselect=True, allow_custom_value=True, **shared)
    if one.control is Control.NUMBER and one.high is not None and one.high <= 1:
        return gr.Slider(one.low or 0, one.high, one.default, step=one.step, **shared)
    if one.control is Control.NUMBER:
        return gr.Number(one.default, minimum=one.low, maximum=_safe(one.high), step=one.step or 1, **shared)
    return gr.Textbox(one.default, lines=1, max_lines=4, **shared)


def _safe(high: float | None) -> float | None:
    """A limit that a browser's numbers can hold exactly."""
    return None if high is None else min(high, 2**53 - 1)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _preview(parts: Parts, form: tuple[FormField, ...]) -> None:
    with gr.Column(elem_classes="rd-step"):
        gr.HTML("<h2>4 · Preview</h2>")
        with gr.Row():
            names = [(one.label, one.name) for one in form if one.control is not Control.FILES]
            parts.other = gr.Dropdown(names, value="denoise", label="Compare", min_width=120)
            parts.value = gr.Textbox(
                label="At these values", placeholder="0.5, 1", max_lines=1, min_width=110, elem_id="values"
            )
            parts.preview = gr.Button("Preview", min_width=110, elem_id="preview")
        parts.preview_state = gr.HTML("", elem_id="preview-state")
        parts.preview_view = gr.HTML("", elem_id="preview-view", label="Preview")


def _run(parts: Parts) -> None:
    with gr.Column(elem_classes="rd-step"):
        gr.HTML("<h2>5 · Run</h2>")
        with gr.Row():
            parts.name = gr.Textbox(label="Name of the result", placeholder="CLIP-detailed", max_lines=1, min_width=150)
            parts.run = gr.Button("Run", variant="primary", min_width=110, elem_id="run")
        parts.run_state = gr.HTML("", elem_id="run-state")


def _runs(parts: Parts) -> None:
    parts.runs = gr.HTML("", js_on_load=_ACTIONS, elem_id="run-list", label="Runs")
    parts.result = gr.HTML("", elem_id="result", label="Result")
    parts.result_name = gr.State("")
    parts.result_frame = gr.Slider(0, 1, 0, step=1, label="Before and after at frame", visible=False)
    parts.result_picture = gr.ImageSlider(
        label="Before | after", type="numpy", interactive=False, buttons=["fullscreen"], visible=False,
        elem_id="result-picture",
    )  # fmt: skip


def _batch(parts: Parts) -> None:
    gr.HTML("<p class='rd-lead'>Details every clip in a folder with the model and the settings of the Detail tab.</p>")
    with gr.Row():
        parts.folder = gr.Dropdown([], label="Folder of clips", allow_custom_value=True, elem_id="folder")
        parts.pattern = gr.Textbox(
            label="Names of the results",
            placeholder="{stem}{suffix}",
            info="may contain {stem}, {suffix}, {parent} and {number}",
        )
    parts.batch = gr.Button("Run all", variant="primary", elem_id="batch")


def _job(parts: Parts) -> None:
    gr.HTML(
        "<p class='rd-lead'>A job file describes a whole run. You can also run it on the command line: "
        "<code>redetail detail --job job.toml</code></p>"
    )
    with gr.Row():
        parts.take = gr.Button("Take from the page", elem_id="take-job")
        parts.fill = gr.Button("Fill the page", elem_id="fill-page")
        parts.run_job = gr.Button("Run this job", variant="primary", elem_id="run-job")
    parts.text = gr.Textbox(label="Job", lines=16, max_lines=40, elem_id="job-text")
    with gr.Row():
        parts.job_file = gr.Dropdown([], label="Job files in the folder", allow_custom_value=True, elem_id="job-file")
        parts.load_job = gr.Button("Load", min_width=90)
        parts.job_name = gr.Textbox(label="Save as", placeholder="job.toml", max_lines=1)
        parts.save_job = gr.Button("Save", min_width=90)
