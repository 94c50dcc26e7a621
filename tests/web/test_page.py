"""The page's colours: text can be read on its ground, by day and in the dark."""

import re
from itertools import product

import pytest

pytest.importorskip("gradio")

from redetail.web.page.layout import css, theme

TEXTS = ("body_text_color", "body_text_color_subdued", "block_info_text_color", "input_placeholder_color")
GROUNDS = {"": "#ffffff", "_dark": "#0a0f1e"}


def resolved(name: str, dark: str) -> str:
    """A colour of the theme as #rrggbb, as style sheets resolve it: what it refers to may have its own value in the
    dark."""
    own = theme()
    value = f"*{name}"
    while value.startswith("*"):
        value = getattr(own, value[1:] + dark, None) or getattr(own, value[1:])
    return {"white": "#ffffff"}.get(value, value)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("name", "dark"), list(product(TEXTS, GROUNDS)))
def test_text_can_be_read(name: str, dark: str) -> None:
    assert resolved("background_fill_primary", dark) == GROUNDS[dark]
    assert contrast(resolved(name, dark), GROUNDS[dark]) >= 4.5


@pytest.mark.parametrize("dark", GROUNDS)
def test_the_words_of_the_main_button_and_what_is_chosen_can_be_read(dark: str) -> None:
    button = resolved("button_primary_background_fill", dark)
    assert contrast(resolved("button_primary_text_color", dark), button) >= 4.5
    accents = re.findall(r"--color-accent: (#\w+);", css())
    assert contrast(accents[list(GROUNDS).index(dark)], GROUNDS[dark]) >= 4.5
