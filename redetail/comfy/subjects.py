"""Settings of single subjects in a node: the ``[[subject]]`` tables of a job file, typed into a widget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redetail.comfy.convert import Pipe
from redetail.comfy.picking import named_subjects
from redetail.documents import LARGEST, parsed
from redetail.engines.base import Capabilities
from redetail.engines.checks import check_settings
from redetail.engines.prompt import key_frames
from redetail.errors import InputError, SettingsError, UnknownNameError
from redetail.job import Job, Subject
from redetail.settings import Settings

NAMES = (
    *("prompt", "negative", "seed", "denoise", "strength", "cancel_vae", "color_match", "guide_size", "guide_size_for"),
    *("max_size", "steps", "cfg", "sampler", "scheduler", "mask_feather", "refiner_ratio"),
)
"""Settings that may differ for one subject: what a detailer decides for each by itself."""
_NOT_KEPT = (
    *("pooled_output", "area", "strength", "mask", "mask_strength", "set_area_to_bounds"),
    *("start_percent", "end_percent", "clip_start_percent", "clip_end_percent"),
)
"""Keys of a CONDITIONING that belong to its text, or say where and when it counts: a subject's own counts always."""


def read_subjects(text: str) -> tuple[Subject, ...]:
    """What ``[[subject]]`` tables say (see docs/jobs.md), in their order.

    Raises :class:`~redetail.errors.InputError` for text that is not TOML, and
    :class:`~redetail.errors.SettingsError` for tables, keys and values that a detailer does not take.
    """
    advice = (
        "write [[subject]], and below it track = 1 (the subject's number or name) and the settings that differ, such "
        "as denoise = 0.3"
    )
    if len(text) > LARGEST["TOML"]:
        raise InputError(
            f"The subjects input has {len(text)} characters, but at most {LARGEST['TOML']} are allowed; {advice}."
        )
    document = parsed(text, "TOML", "The subjects input", advice)
    other = [key for key in document if key != "subject"]
    if other:
        raise SettingsError(f"The subjects input has the key {other[0]!r} outside the [[subject]] tables; {advice}.")
    try:
        subjects = Job.from_document(document, Path()).subjects
        for subject in subjects:
            _check(subject)
    except SettingsError as error:
        raise SettingsError(f"subjects: {error}") from error
    return subjects


def own_settings(subjects: Sequence[Subject], segments: Sequence[Any], base: Settings) -> list[Settings | None]:
    """The settings of each segment, ``base`` where nothing differs; None for those that are skipped.

    Subjects have numbers from 1 and names as Redetail Pick shows them; of several entries for one, later ones win.
    Raises :class:`~redetail.errors.UnknownNameError` for a track that is not among the segments, unless there are none.
    """
    settings: list[Settings | None] = [base] * len(segments)
    if not subjects or not segments:
        return settings
    known = named_subjects(segments)
    skipped: set[int] = set()
    for subject in subjects:
        places = [one.places for number, one in enumerate(known, 1) if subject.track in (number, one.name)]
        if not places:
            listed = [f"{number} ({one.name})" for number, one in enumerate(known, 1)]
            raise UnknownNameError("subject", subject.track, listed)
        for place in places[0]:
            settings[place] = subject.over(settings[place] or base)
            skipped |= {place} if subject.skip else set()
    return [None if place in skipped else own for place, own in enumerate(settings)]


def check_all(settings: Sequence[Settings | None], capabilities: Capabilities) -> None:
    """Raise what the engine would raise for the settings of any segment, before the first one is detailed."""
    for own in settings:
        if own is not None:
            check_settings(own, capabilities)


def prompted(pipe: Pipe, settings: Settings, name: str = "basic_pipe") -> Pipe:
    """The pipe with the subject's own prompts, where it has some; ControlNets of the pipe's conditioning stay.

    Raises :class:`~redetail.errors.InputError` if the pipe has no text encoder to read them.
    """
    if not settings.prompt and not settings.negative:
        return pipe
    if pipe.clip is None:
        raise InputError(
            f"{name} has no CLIP (text encoder) for a subject's prompt; connect one to the node that makes the pipe."
        )
    positive, negative = (
        _replaced(pipe.clip, text, known) if text else known
        for text, known in ((settings.prompt, pipe.positive), (settings.negative, pipe.negative))
    )
    return pipe._replace(positive=positive, negative=negative)


def _replaced(clip: Any, text: str, known: Any) -> list[list[Any]]:
    """The CONDITIONING of a text, with what else the first entry of a known one carries."""
    rest = {} if not known else {key: value for key, value in known[0][1].items() if key not in _NOT_KEPT}
    return [[tensor, {**rest, **details}] for tensor, details in _encoded(clip, text)]


def _encoded(clip: Any, text: str) -> Any:
    tokens = clip.tokenize(text)
    if hasattr(clip, "encode_from_tokens_scheduled"):
        return clip.encode_from_tokens_scheduled(tokens)
    tensor, pooled = clip.encode_from_tokens(tokens, return_pooled=True)  # ComfyUI of 2024
    return [[tensor, {"pooled_output": pooled}]]


def _check(subject: Subject) -> None:
    if subject.who is not None:
        raise SettingsError(
            f"{subject.who} is a picture, which this node cannot read; load the picture with a Load Image node, "
            "connect it to the reference input of Redetail Pick, and replace 'who' with 'track = 1'."
        )
    for name in subject.settings:
        if name not in NAMES:
            raise UnknownNameError("subject setting", name, NAMES)
    subject.check()
    for name in ("prompt", "negative"):
        if len(key_frames(subject.settings.get(name, ""))) > 1:
            raise SettingsError(
                f"the {name} of subject {subject} has key frames, which ComfyUI's text encoders do not support; write "
                "a single prompt without key frames."
            )
