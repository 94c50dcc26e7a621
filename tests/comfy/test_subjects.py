"""[[subject]] tables in a widget: what they mean is what they mean in a job file."""

from pathlib import Path
from typing import Any

import pytest
import torch

from redetail.comfy.convert import Pipe
from redetail.comfy.nodes.redetailer import SUBJECTS
from redetail.comfy.subjects import own_settings, prompted, read_subjects
from redetail.comfy.tracked import TrackedSeg
from redetail.errors import InputError, RedetailError
from redetail.job import read_job
from redetail.pipeline.overrides import region_settings
from redetail.region import Region
from redetail.segs import Seg
from redetail.selection.subjects import numbered
from redetail.settings import Settings
from tests.comfy.test_tracked import CLIP, FRAME, region

BASE = Settings(steps=5, denoise=0.5)
TEXT = """
[[subject]]
track = 1
prompt = "an old man, grey beard"
denoise = 0.3
seed = 7
guide-size = 256

[[subject]]
track = "face 2"
skip = true

[[subject]]
track = 1
denoise = 0.4
"""


def people() -> list[TrackedSeg]:
    """Face 1, face 2, and face 1 again in a second stretch."""
    named = [("face 1", 0), ("face 2", 1), ("face 1", 0)]
    given = region()
    regions = [Region(label, 0.9, 1, given.size, given.path, given.boxes, person=person) for label, person in named]
    return [TrackedSeg(one, FRAME, CLIP) for one in regions]


def test_they_mean_what_they_mean_in_a_job(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(f'source = "clip.mp4"\n{TEXT}')
    subjects, segments = read_subjects(TEXT), people()
    assert subjects == read_job(file).subjects
    found = numbered([segment.region for segment in segments])
    in_job = [(one.region, one.settings) for one in region_settings(found, subjects, BASE)]
    in_node = zip(segments, own_settings(subjects, segments, BASE), strict=True)
    assert [(seg.region.label, own) for seg, own in in_node if own] == [(one.label, own) for one, own in in_job]
    assert own_settings(subjects, segments, BASE)[0] == Settings(
        steps=5, denoise=0.4, seed=7, prompt="an old man, grey beard", guide_size=256
    )


def test_nothing_typed_changes_nothing() -> None:
    assert own_settings(read_subjects(" \n"), people(), BASE) == [BASE] * 3
    assert own_settings(read_subjects(TEXT), [], BASE) == []  # where nobody is found a batch goes on


def test_the_example_in_the_empty_widget_is_right() -> None:
    (subject,) = read_subjects(SUBJECTS)
    assert subject.over(BASE).denoise == 0.3


def test_segments_of_other_packs_have_the_names_that_redetail_pick_shows() -> None:
    segments = [Seg(None, None, 1, (0, 0, 9, 9), (0, 0, 9, 9), "face", None) for _ in range(2)]
    own = own_settings(read_subjects('[[subject]]\ntrack = "face 2"\nseed = 3'), segments, BASE)
    assert [one.seed for one in own if one] == [0, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[subject", r"subjects input is not a TOML document .*write \[\[subject\]\], and below it track = 1"),
        ("denoise = 0.3", r"The subjects input has the key 'denoise' outside the \[\[subject\]\] tables"),
        ("[subject]\ntrack = 1", r"write \[\[subject\]\], not \[subject\]"),
        ("[[subject]]\nseed = 1", r"track in \[\[subject\]\] must be"),
        ("[[subject]]\ntrack = 1\ndenois = 1", "subjects: there is no key 'denois'"),
        ("[[subject]]\ntrack = 1\ndenoise = 3", "Subject 1: denoise is 3"),
        ("[[subject]]\ntrack = 1\ncrop_factor = 3", "sets crop-factor, but all subjects share"),
        ("[[subject]]\ntrack = 1\npaste_feather = 3", "no subject setting named 'paste_feather'"),
        (
            '[[subject]]\nwho = "anna.png"',
            "subjects: anna.png is a picture, which this node cannot read; load the picture",
        ),
        ('[[subject]]\ntrack = 1\nprompt = "0: old; 9: young"', "prompt of subject 1 has key frames"),
        ("[[subject]]\ntrack = 3\nseed = 1", r"no subject named 3.*1 \(face 1\), 2 \(face 2\)"),
        ("x" * 2_000_000, "The subjects input has 2000000 characters"),
        ("a = " + "[" * 5000, "nested too deeply|not a TOML document"),
    ],
)
def test_each_fault_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(RedetailError, match=said) as told:
        own_settings(read_subjects(text), people(), BASE)
    assert str(told.value).endswith((".", "?"))


class Clip:
    """Reads a text as its length."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> Any:
        return [[torch.tensor([float(len(tokens))]), {"pooled_output": tokens}]]


class OldClip:
    """ComfyUI of 2024 gives tensor and pooled output."""

    tokenize = Clip.tokenize

    def encode_from_tokens(self, tokens: str, return_pooled: bool) -> Any:
        assert return_pooled
        return torch.tensor([float(len(tokens))]), tokens


@pytest.mark.parametrize("clip", [Clip(), OldClip()])
def test_a_prompt_of_ones_own_replaces_the_text_and_keeps_the_control_net(clip: Any) -> None:
    details = {"pooled_output": "pipe", "control": "net", "area": (1, 1, 0, 0), "mask": torch.ones(1, 8, 8)}
    pipe = Pipe("model", clip, "vae", [[torch.zeros(1), details]], "negative")
    changed = prompted(pipe, Settings(prompt="a beard"))
    ((tensor, told),) = changed.positive
    assert float(tensor) == 7
    assert told == {"pooled_output": "a beard", "control": "net"}
    assert changed.negative == "negative"
    assert pipe.positive[0][1] is details
    assert prompted(pipe, Settings()) is pipe


def test_a_prompt_needs_a_text_encoder() -> None:
    with pytest.raises(InputError, match=r"basic_pipe has no CLIP \(text encoder\) for a subject's prompt"):
        prompted(Pipe("model", None, "vae", [], []), Settings(negative="blurry"))
