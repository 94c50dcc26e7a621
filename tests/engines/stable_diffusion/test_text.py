"""Prompts to states of a thin CLIP, against what its own libraries give and the rule of weights written out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from redetail.engines.base import CropSource
from redetail.engines.device import Placement
from redetail.engines.prompt import literal, read_prompt
from redetail.engines.spec import ModelSpec
from redetail.engines.stable_diffusion.components import Components, load_components
from redetail.engines.stable_diffusion.conditions import StatesAlone, TextCondition
from redetail.engines.stable_diffusion.embedding import Embedding
from redetail.engines.stable_diffusion.network import MotionNetwork, TextGuidedModel
from redetail.engines.stable_diffusion.text import TextConditioner, matched
from redetail.engines.stable_diffusion.tokens import PromptTokenizer
from redetail.errors import SettingsError, UnknownNameError
from redetail.sampling import VarianceExploding
from redetail.settings import Settings

CPU = Placement(torch.device("cpu"), torch.float32)
BEGIN, END = 512, 513


@pytest.fixture(scope="module")
def parts(model_folder: Path) -> Components:
    return load_components(ModelSpec(checkpoint=model_folder), CPU)


@pytest.fixture(scope="module")
def text(parts: Components) -> TextConditioner:
    return TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def plain(parts: Components, prompt: str) -> Tensor:
    """(1, 77, width) as the libraries encode a short prompt."""
    tokens = parts.texts[0].tokenizer(prompt, truncation=True, max_length=77, padding="max_length", return_tensors="pt")
    states: Tensor = parts.texts[0].encoder(tokens.input_ids).last_hidden_state
    return states


@pytest.mark.parametrize("prompt", ["", "a face", "A  Face,\tsmiling!", "x" * 75, "(a:1.0) [(face:1)]", "don't 8k"])
def test_without_weights_it_is_the_plain_encoding(parts: Components, text: TextConditioner, prompt: str) -> None:
    words = " ".join(piece.text for section in read_prompt(prompt).sections for piece in section)
    assert torch.equal(text(prompt), plain(parts, words))


@settings(max_examples=40, deadline=None)
@given(words=st.text(max_size=30))
def test_words_one_by_one_are_the_tokens_of_the_whole(parts: Components, words: str) -> None:
    found = PromptTokenizer(parts.texts[0].tokenizer, (), 1000).chunks(read_prompt(literal(words)).sections)
    if "BREAK" not in words:
        expected = (
            parts.texts[0].tokenizer(words, add_special_tokens=False, verbose=False).input_ids if words.strip() else []
        )
        assert [token.index for chunk in found for token in chunk] == expected


def test_weights_move_states_away_from_the_empty_prompt(parts: Components, text: TextConditioner) -> None:
    """state = empty + weight * (state - empty) of the tokens of the word, each at its own place."""
    states, empty = plain(parts, "a face up"), plain(parts, "")
    expected = states.clone()
    # Tokens 2 to 5 are f, a, c, e behind the begin and the a.
    expected[:, 2:6] = empty[:, 2:6] + 1.3 * (states[:, 2:6] - empty[:, 2:6])
    found = text("a (face:1.3) up")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # float32 of values around one
    untouched = [0, 1, *range(6, 77)]
    assert torch.equal(found[:, untouched], states[:, untouched])
    assert torch.equal(text("a (face:0) up")[:, 2:6], empty[:, 2:6])


def test_a_long_prompt_goes_on_in_chunks_of_its_own(parts: Components, text: TextConditioner) -> None:
    words = " ".join(["abcde"] * 31)  # 155 tokens: fifteen words of five fill a chunk
    states = text(words)
    assert states.shape == (1, 3 * 77, 32)
    for chunk, part in enumerate((15, 15, 1)):
        expected = plain(parts, " ".join(["abcde"] * part))
        assert torch.equal(states[:, 77 * chunk : 77 * (chunk + 1)], expected)


def test_short_words_stay_whole_at_the_end_of_a_chunk(parts: Components) -> None:
    tokens = PromptTokenizer(parts.texts[0].tokenizer, (), 75)

    def lengths(prompt: str) -> list[int]:
        return [len(chunk) for chunk in tokens.chunks(read_prompt(prompt).sections)]

    assert lengths("x" * 75) == [75]
    assert lengths("x" * 76) == [75, 1]
    assert lengths(f"{'x' * 73} abcdefg") == [73, 7]
    assert lengths(f"{'x' * 73} abcdefgh") == [75, 6]
    assert lengths("x" * 200) == [75, 75, 50]
    assert lengths("a BREAK b") == [1, 1]
    assert lengths("BREAK a BREAK BREAK") == [1]
    assert lengths("") == [0]


def test_a_row_has_its_begin_end_and_padding(parts: Components) -> None:
    tokens = PromptTokenizer(parts.texts[0].tokenizer, (), 75)
    (chunk,) = tokens.chunks(read_prompt("a").sections)
    row = [token.index for token in tokens.row(chunk)]
    assert row == parts.texts[0].tokenizer("a", padding="max_length", max_length=77).input_ids
    assert (row[0], row[2], len(row)) == (BEGIN, END, 77)


def test_key_frames_are_blended_linearly(text: TextConditioner) -> None:
    smile, laugh = text("smiling"), text("(laughing:1.2)")
    states = text("10: smiling; 14: (laughing:1.2)", range(8, 17))
    assert states.shape == (9, 77, 32)
    assert torch.equal(states[0], smile[0])
    assert torch.equal(states[2], smile[0])
    assert torch.equal(states[6], laugh[0])
    assert torch.equal(states[8], laugh[0])
    torch.testing.assert_close(states[3], 0.75 * smile[0] + 0.25 * laugh[0], rtol=0, atol=1e-6)


def test_what_does_not_change_is_one_row(text: TextConditioner) -> None:
    assert text("a face", range(9)).shape == (1, 77, 32)
    assert torch.equal(text("0: a; 24: b", range(30, 40)), text("b"))


def test_repeating_text_is_nothing_to_attention(parts: Components, text: TextConditioner) -> None:
    """What a short prompt is given, so that it can be in one batch with a long one."""
    positive, negative = text.pair("a face", "x" * 100)
    assert positive.shape == negative.shape == (1, 154, 32)
    assert torch.equal(negative, text("x" * 100))
    network = MotionNetwork(parts.unet, VarianceExploding.animatediff())
    x = torch.randn(2, 4, 4, 6, generator=torch.manual_seed(0))
    (repeated,), (once,) = (network(x, 1.0, [TextCondition(states)]) for states in (positive, text("a face")))
    torch.testing.assert_close(repeated, once, rtol=1e-5, atol=1e-5)  # the same sums in another order


def test_lengths_with_a_distant_multiple_are_filled_up() -> None:
    states = [torch.randn(1, 77 * n, 4) for n in (5, 7)]
    empty = torch.zeros(1, 77, 4)
    short, long = matched(states, empty)
    assert short.shape == long.shape
    assert torch.equal(long, states[1])
    assert torch.equal(short, torch.cat([states[0], empty, empty], dim=1))
    assert [one.shape[1] // 77 for one in matched([states[0][:, : 77 * 2], states[0][:, : 77 * 3]], empty)] == [6, 6]


def test_vectors_of_a_known_word_are_that_word(parts: Components) -> None:
    tokens = parts.texts[0].tokenizer("face", add_special_tokens=False).input_ids
    vectors = parts.texts[0].encoder.get_input_embeddings().weight[tokens].clone()
    text = TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder, [Embedding("my-Face", vectors)])
    assert torch.equal(text("a my-face up"), plain(parts, "a face up"))
    assert torch.equal(text("a embedding:MY-FACE, up"), plain(parts, "a face , up"))
    assert torch.equal(text("a (my-face.pt:1.2)"), text("a (face:1.2)"))
    assert torch.equal(text("my-facet"), plain(parts, "my-facet"))
    # Nothing stays behind in the encoder.
    assert torch.equal(text("a face"), plain(parts, "a face"))


def test_an_embedding_that_is_not_loaded(parts: Components, text: TextConditioner) -> None:
    with pytest.raises(SettingsError, match="'easynegative', but no embedding is loaded"):
        text("bad (embedding:easynegative:1.2)")
    some = TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder, [Embedding("good", torch.zeros(1, 32))])
    with pytest.raises(UnknownNameError, match="no embedding named 'better'; choose one of: good"):
        some("embedding:better")


def test_layers_before_the_last(parts: Components, text: TextConditioner) -> None:
    tokens = parts.texts[0].tokenizer("a face", padding="max_length", max_length=77, return_tensors="pt").input_ids
    hidden = parts.texts[0].encoder(tokens, output_hidden_states=True).hidden_states
    norm = next(module for name, module in parts.texts[0].encoder.named_modules() if name.endswith("final_layer_norm"))
    assert torch.equal(text("a face", clip_skip=2), norm(hidden[-2]))
    assert torch.equal(norm(hidden[-1]), text("a face"))
    with pytest.raises(SettingsError, match=r"clip-skip is 3; .* layers, so use 1 to 2"):
        text("a face", clip_skip=3)


def test_notes_are_said_once(parts: Components, caplog: pytest.LogCaptureFixture) -> None:
    text = TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder)
    with caplog.at_level(logging.WARNING):
        text("a (face")
        text("a (face")
    assert [record.getMessage() for record in caplog.records] == [
        "The prompt's '(' is unmatched and is read as an ordinary character."
    ]


def test_the_model_reads_the_prompt_of_each_frame(parts: Components) -> None:
    """A prompt over time gives every frame, in any window, what that frame's text alone would be."""
    text = TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder)
    seen: list[Tensor] = []

    class Network:
        def __call__(self, x: Tensor, sigma: float, conditions: list[TextCondition], /) -> list[Tensor]:
            seen.append(conditions[0].states)
            return [x for _ in conditions]

    model = TextGuidedModel(Network(), StatesAlone([text]))
    crops = np.zeros((6, 16, 16, 3), np.float32)
    denoiser_for = model.condition(CropSource.of(crops), Settings(prompt="-2: a; 2: b", cfg=1.0), lambda: None)
    x = torch.zeros(3, 4, 2, 2)
    denoiser_for(slice(1, 4))(x, 1.0)
    denoiser_for(np.array([0, 2, 5]))(x, 1.0)
    whole = text("-2: a; 2: b", range(6))
    assert torch.equal(seen[0], whole[1:4])
    assert torch.equal(seen[1], whole[[0, 2, 5]])


def test_the_layer_is_a_setting(parts: Components) -> None:
    text, seen = TextConditioner(parts.texts[0].tokenizer, parts.texts[0].encoder), list[Tensor]()

    class Network:
        def __call__(self, x: Tensor, sigma: float, conditions: list[TextCondition], /) -> list[Tensor]:
            seen.extend(condition.states for condition in conditions)
            return [x for _ in conditions]

    model = TextGuidedModel(Network(), StatesAlone([text]))
    crops = np.zeros((1, 16, 16, 3), np.float32)
    denoiser_for = model.condition(
        CropSource.of(crops), Settings(prompt="a", negative="b", clip_skip=2, cfg=2.0), lambda: None
    )
    denoiser_for(slice(0, 1))(torch.zeros(1, 4, 2, 2), 1.0)
    assert all(torch.equal(states, text(word, clip_skip=2)) for states, word in zip(seen, "ab", strict=True))
