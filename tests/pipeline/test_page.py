"""The report as a page: its figures are those of the document, and nothing that it shows is run or fetched."""

import html
import json
import os
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

import redetail
from redetail.engines import FakeEngine
from redetail.job import read_job
from redetail.pipeline.page import page

pytestmark = pytest.mark.slow

FRAMES = np.random.default_rng(5).integers(0, 255, (6, 64, 96, 3), dtype=np.uint8)
QUICK = {"guide_size": 64, "max_size": 96, "crop_factor": 1.5, "steps": 2}
BOXES = [(5, 5, 45, 45), (50, 10, 90, 50)]
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">{{ 7*7 }}&<!--"


class Edged(FakeEngine):
    """An engine whose name tries to break out of the page."""

    @property
    def capabilities(self):
        return replace(super().capabilities, name=HOSTILE)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[str, redetail.Report]:
    path = tmp_path_factory.mktemp("page") / "report.html"
    engine = Edged(lambda crops: np.clip(crops * 0.9 + 0.05, 0, 1))
    result = redetail.detail(FRAMES, engine=engine, box=BOXES, report=path, prompt=HOSTILE, scale=2, **QUICK)
    return path.read_text("utf-8"), result.report


def inside(text: str) -> dict:
    """The document that a page holds."""
    (found,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_page_holds_the_document_and_shows_its_figures(written) -> None:
    text, report = written
    document = json.loads(json.dumps(report.to_document()))
    assert inside(text) == document
    shown = {name: re.findall(rf'class="{name}">([^<]*)<', text) for name in ("mean_change", "ratio")}
    measured = [region["measured"] for region in document["regions"]]
    assert list(map(float, shown["mean_change"])) == [one["mean_change"] for one in measured]
    assert list(map(float, shown["ratio"])) == [one["warped_error"]["ratio"] for one in measured]
    assert f'id="untouched">{document["untouched"]["changed_pixels_outside_masks"]}<' in text


def test_curves_have_a_value_for_each_frame_whose_mean_is_that_of_the_region(written) -> None:
    _, report = written
    for curves, measured in zip(report.to_document()["curves"], report.regions, strict=True):
        assert [len(curve) for curve in curves.values()] == [len(FRAMES)] * 3
        assert curves["flicker_output"][0] is None
        np.testing.assert_allclose(np.mean(curves["change"]), measured.mean_change, rtol=0.01)  # masks are alike
        np.testing.assert_allclose(np.mean(curves["flicker_output"][1:]), measured.flicker.output, rtol=0.05)


def test_pictures_are_in_the_page_and_nothing_is_fetched(written) -> None:
    text, _ = written
    sources = re.findall(r'<img [^>]*?src="([^"]*)"', text)
    assert len(sources) >= 2 * (6 + 2 + 4)  # of each of two subjects: thumbnails, the large pair, the worst moments
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.findall(r"<(?:link|iframe|object|embed|base)\b|url\(|@import", text)
    assert len(text) < 1_000_000


def test_whatever_names_hold_is_text(written) -> None:
    text, _ = written
    assert HOSTILE not in text
    assert html.escape(HOSTILE, quote=False).replace('"', "&#34;").replace("'", "&#39;") in text
    assert len(re.findall("<script", text)) == 2  # the document, and the slider
    assert "<!--" not in text


def test_the_job_of_the_page_runs_again(tmp_path) -> None:
    source, path = tmp_path / "in", tmp_path / "report.html"
    redetail.detail(FRAMES, source, engine=FakeEngine(), box=BOXES[:1], **QUICK)
    redetail.detail(source, tmp_path / "out", box=BOXES[:1], report=path, end="3f", **QUICK)
    job = html.unescape(re.findall(r'<pre id="job">(.*?)</pre>', path.read_text("utf-8"), re.DOTALL)[0])
    (tmp_path / "job.toml").write_text(job)
    again = read_job(tmp_path / "job.toml")
    assert again.source == source
    assert again.settings["guide_size"] == 64


def test_a_clip_in_which_nothing_was_found_has_a_page_too(written) -> None:
    _, report = written
    empty = replace(report, plan=replace(report.plan, crops=()), regions=())
    assert inside(page(empty, []))["regions"] == []


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("REDETAIL_TEST_CHROMIUM") == "required":
            pytest.fail("There is no Chromium on this machine; install one (Debian: apt install chromium).")
        pytest.skip("There is no Chromium on this machine.")
    return found


@pytest.fixture
def asked() -> list[str]:
    """Paths that a server on this machine, whose address comes first, was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        paths.append(f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield paths
        server.shutdown()
        thread.join()


def test_a_browser_runs_no_script_but_the_pages_own_and_asks_nobody(chromium, asked, written, tmp_path) -> None:
    """The same page with its guards undone does ask, so this would be noticed."""
    _, report = written
    hostile = f"<img src='{asked[0]}name'><script>document.title='owned'</script>"
    shown = page(replace(report, engine=hostile, source=replace(report.source, path=Path(hostile))), [])
    undone = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")
    undone = re.sub("<meta http-equiv[^>]*>", "", undone)
    for name, guarded in (("page.html", shown), ("undone.html", undone)):
        (tmp_path / name).write_text(guarded, "utf-8")
        dom = _loaded(chromium, tmp_path / name, tmp_path / "profile")
        assert ("<title>owned" in dom) == (name == "undone.html")
        assert ("/name" in asked[1:]) == (name == "undone.html")


def _loaded(chromium: str, path: Path, profile: Path) -> str:
    quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-gpu")
    line = [chromium, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=True).stdout


def test_on_a_phone_nothing_is_wider_than_the_screen_and_heads_of_rows_keep_their_words(
    chromium, written, tmp_path
) -> None:
    api = pytest.importorskip("playwright.sync_api")
    (tmp_path / "page.html").write_text(written[0], "utf-8")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 390, "height": 844})
        shown.goto((tmp_path / "page.html").as_uri())
        assert shown.evaluate("document.documentElement.scrollWidth") == 390
        # A word that is broken makes more pieces of text than there are words.
        pieces = """head => {
            const text = document.createRange();
            text.selectNodeContents(head);
            return text.getClientRects().length <= head.innerText.split(/[ -]/).length;
        }"""
        assert shown.evaluate(f"[...document.querySelectorAll('th')].every({pieces})")
        browser.close()
