"""Take the pictures of docs/web.md: the page in Chromium with a clip, its faces and a preview, wide and narrow.

``python tools/web_pictures.py [FOLDER]`` writes web-1280.png and web-390.png there [docs/images]. With ``--all`` also
what is not for the docs, but to be looked at: every tab, by day and in the dark. It needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.web.conftest import CLIPS, Server  # noqa: E402 - the repository is not installed

WIDTHS = (1280, 390)
PATIENCE = 300_000
"""Milliseconds in which a run must be done."""


def fill(page: Any, address: str) -> None:
    """Find the faces of the first frames and preview two settings."""
    page.goto(address)
    page.wait_for_selector("#clip-view video")
    page.locator("#end textarea, #end input").fill("4f")
    page.click("#find")
    page.wait_for_selector(".rd-card img")
    page.locator("#values textarea, #values input").fill("0.5, 1")
    page.click("#preview")
    page.wait_for_selector("#preview-view img")


def run(page: Any) -> None:
    """Detail the clip and show its result."""
    page.click("#run")
    page.wait_for_selector("#run-state :text('Queued')")
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.get_by_role("button", name="Show result").first.click()
    page.wait_for_selector("#result-picture img")


def shoot(page: Any, folder: Path, name: str) -> None:
    """The whole page at both widths."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(1000)
        path = folder / f"{name}-{width}.png"
        page.screenshot(path=path, full_page=True)
        compact(path)


def compact(path: Path) -> None:
    """Make a picture small enough for a repository: at most 960 pixels wide, of 256 colours."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((960, picture.height), Image.Resampling.LANCZOS)
    picture.quantize(256).save(path, optimize=True)


def look(page: Any, address: str, folder: Path) -> None:
    """Every other tab, and the page in the dark."""
    run(page)
    shoot(page, folder, "runs")
    for name in ("Folder", "Job file"):
        page.get_by_role("tab", name=name, exact=True).click()
        shoot(page, folder, name.split()[0].lower())
    page.goto(f"{address}?__theme=dark")
    page.wait_for_selector("#preview-view img")
    shoot(page, folder, "dark")


def main() -> None:
    """Take them."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        clips = Path(place) / "clips"
        clips.mkdir()
        shutil.copy(CLIPS / "two_people.mp4", clips)
        server = Server.start(clips)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900}, reduced_motion="reduce")
            page.set_default_timeout(PATIENCE)
            fill(page, server.address)
            shoot(page, options.folder, "web")
            if options.all:
                look(page, server.address, options.folder)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
