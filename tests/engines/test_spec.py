"""Files with strengths, as they are typed."""

import math
from pathlib import Path

import pytest

from redetail.engines.spec import ControlFile, ModelSpec, WeightedFile
from redetail.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "path", "strength"),
    [
        ("a.safetensors", "a.safetensors", 1.0),
        ("a.safetensors:0.5", "a.safetensors", 0.5),
        ("a:-.5", "a", -0.5),
        (r"C:\loras\a.safetensors", r"C:\loras\a.safetensors", 1.0),
        (r"C:\loras\a.safetensors:2", r"C:\loras\a.safetensors", 2.0),
        ("a:1.", "a", 1.0),
        ("a:+2e-3", "a", 0.002),
        ("a:0.00001", "a", 0.00001),
        ("a:0.123456789", "a", 0.123456789),
        ("a:1:1", "a:1", 1.0),
        ("a:1:0.5", "a:1", 0.5),
    ],
)
def test_a_file_and_its_strength(text: str, path: str, strength: float) -> None:
    parsed = WeightedFile.parse(text)
    assert parsed == WeightedFile(Path(path), strength)
    assert WeightedFile.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("c.pth", (1, 0, 1)),
        ("c.pth:0.5", (0.5, 0, 1)),
        ("c.pth:0.5:0.1", (0.5, 0.1, 1)),
        ("c.pth:2:0:0.8", (2, 0, 0.8)),
        ("c.pth:1e-05:0.333333333:0.8", (1e-5, 0.333333333, 0.8)),
    ],
)
def test_a_controlnet_and_when_it_acts(text: str, numbers: tuple[float, ...]) -> None:
    parsed = ControlFile.parse(text, "canny")
    assert (parsed.path, parsed.strength, parsed.start, parsed.end, parsed.hint) == (Path("c.pth"), *numbers, "canny")
    assert ControlFile.parse(str(parsed), "canny") == parsed


@pytest.mark.parametrize("text", ["c.pth:1:0.8:0.2", "c.pth:1:-0.1", "c.pth:1:0:1.5"])
def test_a_controlnet_acts_somewhere_between_the_first_and_the_last_step(text: str) -> None:
    with pytest.raises(SettingsError, match=r"give two values from 0 to 1"):
        ControlFile.parse(text, "canny")


@pytest.mark.parametrize("strength", [math.nan, math.inf])
def test_a_strength_is_a_finite_number(strength: float) -> None:
    for made in (WeightedFile, ControlFile):
        with pytest.raises(SettingsError, match="finite"):
            made(Path("a"), strength)


@pytest.mark.parametrize("text", ["", ":0.5"])
def test_a_name_is_needed(text: str) -> None:
    with pytest.raises(SettingsError, match="does not name a file"):
        WeightedFile.parse(text)


def test_a_spec_takes_names_as_they_are_typed_and_keeps_paths() -> None:
    typed = ModelSpec(
        checkpoint="owner/name",
        motion_module="~/mm.ckpt",
        loras=["a.safetensors:0.5", Path("b.pt")],
        embeddings=["bad.pt"],
        controls=[ControlFile("c.pth", hint="canny")],
    )
    assert typed == ModelSpec(
        checkpoint="owner/name",
        motion_module=Path.home() / "mm.ckpt",
        loras=(WeightedFile(Path("a.safetensors"), 0.5), WeightedFile(Path("b.pt"))),
        embeddings=(Path("bad.pt"),),
        controls=(ControlFile(Path("c.pth"), hint="canny"),),
    )
    assert set(typed.files) >= {Path.home() / "mm.ckpt", Path("b.pt"), Path("bad.pt"), Path("c.pth")}


@pytest.mark.parametrize(
    "given",
    [
        {"checkpoint": 0.5},
        {"refiner_checkpoint": [1]},
        {"loras": "a:0.5"},
        {"controls": ["c.pth"]},
        {"vae": 3},
        {"embeddings": None},
    ],
)
def test_what_is_no_file_in_a_spec_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"^(The list )?{next(iter(given))} "):
        ModelSpec(**given)
