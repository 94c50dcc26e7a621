"""The page in a real browser: from an upload to a result that is equal to the command line's."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redetail.cli.main import main
from tests.web.conftest import CLIPS, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT = 120_000
"""Milliseconds: machines that run tests may be busy."""
UNLABELLED = """
() => [...document.querySelectorAll('input, textarea, select, button, [role=slider], [role=tab], iframe, video, img')]
  .filter(one => one.offsetParent !== null && one.type !== 'file')
  .filter(one => {
    const by = (one.getAttribute('aria-labelledby') || '').split(' ').map(id => document.getElementById(id)?.innerText);
    const names = [one.getAttribute('aria-label'), one.alt, one.title, one.innerText, ...by,
                   ...[...(one.labels || [])].map(label => label.innerText)];
    return !names.some(name => name && name.trim());
  }).map(one => one.outerHTML.slice(0, 200))
"""


class Watch:
    """What the browser complained of, and whom it asked."""

    def __init__(self, page: Any, address: str) -> None:
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.address = address
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)

    def check(self) -> None:
        """Nothing so far."""
        assert self.errors == []
        assert self.elsewhere == []

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.elsewhere.append(request.url)


@pytest.fixture
def page() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("REDETAIL_TEST_CHROMIUM") == "required":
            pytest.fail("Chromium is not installed; on Debian: apt install chromium")
        pytest.skip("Chromium is not installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        window = {"width": 1280, "height": 900}
        opened = browser.new_page(viewport=window, reduced_motion="reduce")  # drawing takes the processor from the runs
        opened.set_default_timeout(WAIT)
        yield opened
        browser.close()


def open_page(page: Any, server: Server) -> None:
    page.goto(server.address)
    page.wait_for_selector("#find")


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def press(page: Any, button: str) -> None:
    page.get_by_role("button", name=f"{button}: guitarist.mp4").click()


def wait_for_state(page: Any, state: str) -> None:
    """Wait until the list says so of the newest run that details."""
    row = page.locator("#run-list .rd-run").filter(has=page.locator(".rd-kind", has_text=re.compile("^Detail$")))
    row.first.locator(".rd-state", has_text=state).wait_for()


def test_from_an_upload_to_a_result_equal_to_that_of_the_command_line(
    page: Any, server: Server, tmp_path: Path
) -> None:
    watch = Watch(page, server.address)
    open_page(page, server)
    page.set_input_files("#upload input[type=file], input[type=file]", CLIPS / "guitarist.mp4")
    page.wait_for_function("document.querySelector('#clip input').value === 'uploads/guitarist.mp4'")
    page.locator("#end textarea, #end input").fill("3f")
    page.locator("#setting-guide_size input").fill("64")
    find_and_choose(page)
    page.click("#preview")
    page.wait_for_selector("#preview-view img")
    assert page.evaluate(UNLABELLED) == []
    check_width(page)

    page.click("#run")
    page.wait_for_selector("#run-state :text('Queued')")
    watch.check()
    open_page(page, server)  # reload midway
    watch.errors.clear()  # the page that was left complains of requests that were cut off
    tab(page, "Runs")
    wait_for_state(page, "done")
    stop_and_resume(page)
    watch.check()

    page.goto("about:blank")  # an open page would complain that there is no server
    server.restart()
    watch = Watch(page, server.address)
    open_page(page, server)
    check_keyboard(page)
    tab(page, "Runs")
    wait_for_state(page, "stopped")
    assert page.get_by_role("button", name="Resume: guitarist.mp4").is_visible()
    press(page, "Show result")
    page.wait_for_selector("#result video")
    page.wait_for_selector("#result-picture img")
    assert page.evaluate(UNLABELLED) == []
    check_width(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download guitarist-detailed.mp4").click()
    assert download.value.path().read_bytes() == of_command_line(tmp_path)
    check_report(page)
    watch.check()


def find_and_choose(page: Any) -> None:
    """Find the face, and untick and tick it with the keyboard."""
    page.click("#find")
    face = page.get_by_role("checkbox", name="face 1")
    face.focus()
    page.keyboard.press("Space")
    assert not face.is_checked()
    page.keyboard.press("Space")
    assert face.is_checked()


def stop_and_resume(page: Any) -> None:
    """Run the whole clip, which takes a while, stop it, resume it, and stop it again."""
    tab(page, "Detail")
    page.wait_for_function("document.querySelector('#clip input').value === 'uploads/guitarist.mp4'")
    page.click("#run")
    tab(page, "Runs")
    for button in ("Stop", "Resume", "Stop"):
        press(page, button)
        wait_for_state(page, "running" if button == "Resume" else "stopped")


def check_report(page: Any) -> None:
    """The report opens as a page of its own, without an error, and says what was done."""
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open the report").click()
    report, errors = opened.value, []
    report.on("console", lambda message: message.type == "error" and errors.append(message.text))
    report.reload()
    assert report.locator("h1").inner_text().endswith("guitarist.mp4")
    assert report.get_by_role("row", name="Subjects").locator("td").inner_text() == "1"
    assert "guide_size = 64" in report.locator("#job").inner_text()
    assert errors == []
    report.close()


def check_width(page: Any) -> None:
    """Nothing is wider than the window, on a desk and on a phone."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def of_command_line(tmp_path: Path) -> bytes:
    """What ``redetail detail`` writes for the same clip and settings."""
    clip, output = tmp_path / "guitarist.mp4", tmp_path / "out.mp4"
    shutil.copy(CLIPS / "guitarist.mp4", clip)
    assert main(["detail", str(clip), "-o", str(output), "--end", "3f", "--guide-size", "64", "--quiet"]) == 0
    return output.read_bytes()


def check_keyboard(page: Any) -> None:
    """Every control of the first tab is reached with the Tab key."""
    wanted = {"detect", "find", "preview", "run"}
    for _ in range(120):
        page.keyboard.press("Tab")
        wanted.discard(page.evaluate("document.activeElement.closest('[id]:not(html):not(body)')?.id"))
        if not wanted:
            break
    assert not wanted
