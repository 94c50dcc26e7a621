"""Textual inversion files in the layouts of the programs that write them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from redetail.engines.stable_diffusion.embedding import Embedding, EmbeddingNames, load_embeddings
from redetail.errors import ModelError, SettingsError, UnknownNameError

WIDTH = 32


def vectors(tokens: int = 3, width: int = WIDTH) -> Tensor:
    return torch.randn(tokens, width, generator=torch.manual_seed(tokens))


def web_ui(path: Path, values: Tensor) -> None:
    content = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": values},
        "name": "x",
        "step": 3,
        "sd_checkpoint": None,
    }
    torch.save(content, path)


def kohya(path: Path, values: Tensor) -> None:
    save_file({"emb_params": values}, path)


def diffusers(path: Path, values: Tensor) -> None:
    save_file({"<my-word>": values}, path)


def diffusers_pickle(path: Path, values: Tensor) -> None:
    torch.save({"<my-word>": values}, path)


LAYOUTS = {"a.pt": web_ui, "b.safetensors": kohya, "c.safetensors": diffusers, "d.bin": diffusers_pickle}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    LAYOUTS[name](tmp_path / name, vectors().half())
    (loaded,) = load_embeddings([tmp_path / name], WIDTH)
    assert loaded.name == name[0]
    assert torch.equal(loaded.vectors, vectors().half().float())


def test_one_vector_without_a_row(tmp_path: Path) -> None:
    diffusers(tmp_path / "a.safetensors", vectors()[0])
    (loaded,) = load_embeddings([tmp_path / "a.safetensors"], WIDTH)
    assert torch.equal(loaded.vectors, vectors()[:1])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"emb_params": torch.zeros(2, 1024)}, r"width 1024 \(Stable Diffusion 2.x\), .* reads 768"),
        (
            {"clip_g": torch.zeros(2, 1280), "clip_l": torch.zeros(2, 768)},
            r"width .*Stable Diffusion XL\), .* reads 768",
        ),
        ({"emb_params": torch.full((2, 768), torch.nan)}, "not finite"),
        ({"conv.weight": torch.zeros(2, 2, 3, 3)}, "give a textual inversion embedding"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError, match=message):
        load_embeddings([tmp_path / "bad.safetensors"], 768)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        kohya(tmp_path / folder / "Easy.safetensors", vectors())
    with pytest.raises(ModelError, match="Two embeddings are named 'Easy'"):
        load_embeddings([tmp_path / "one" / "Easy.safetensors", tmp_path / "two" / "Easy.safetensors"], WIDTH)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a bad-hands, x", ["a ", "<bad-hands>", ", x"]),
        ("bad-hands-5", ["", "<bad-hands-5>", ""]),
        ("BAD-HANDS.PT easy", ["", "<bad-hands>", " ", "<easy>", ""]),
        ("embedding:easy", ["", "<easy>", ""]),
        ("embedding: easy.safetensors,", ["", "<easy>", ","]),
        ("easygoing uneasy easy-going", ["easygoing uneasy easy-going"]),
        ("an embedding", ["an embedding"]),
        ("", [""]),
    ],
)
def test_names_in_text(text: str, expected: list[str]) -> None:
    names = EmbeddingNames([Embedding(name, vectors()) for name in ("bad-hands", "bad-hands-5", "Easy")])
    found = [f"<{part.name.lower()}>" if isinstance(part, Embedding) else part for part in names.split(text)]
    assert found == expected


def test_a_name_that_is_not_loaded_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no embedding named 'hard'; choose one of: easy"):
        list(EmbeddingNames([Embedding("easy", vectors())]).split("a embedding:hard b"))
    with pytest.raises(SettingsError, match="no embedding is loaded"):
        list(EmbeddingNames(()).split("a embedding:hard b"))
