"""The examples and the panels in ComfyUI's own page, opened in Chromium.

REDETAIL_COMFYUI=/path/to/ComfyUI REDETAIL_COMFYUI_PYTHON=/path/to/its/python pytest tests/comfy/test_browser.py
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.comfyui import CHECKOUT, ComfyUI
from tests.comfy.test_workflows import FILES, read, tool, write_clip

__all__ = ["tool"]  # a fixture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHECKOUT not in os.environ, reason=f"{CHECKOUT} names no ComfyUI checkout"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False}
"""Of the page: no dialog and no map over the nodes."""
PICTURE = "REDETAIL_PICK_PICTURE"
"""Environment variable: where the picture of the manual, docs/images/pick.png, is written."""
INSTALLED = ("comfy-core", "redetail")
# What the page says of itself on a new installation: files that a user may have, models that it looks up elsewhere.
NOT_OURS = ("Failed to load resource", "Content Security Policy")
SECONDS = 300_000  # in milliseconds, as playwright counts

OPEN = """async (workflow) => {
  await window.app.loadGraphData(workflow);
  const nodes = window.app.graph.nodes;
  return nodes.filter((node) => !(node.type in window.LiteGraph.registered_node_types)).map((node) => node.type);
}"""
SHOW = """() => {
  window.app.canvas.ds.scale = 1;
  window.app.canvas.ds.offset = [-370, 60];
  window.app.canvas.deselectAll();
  window.app.graph.setDirtyCanvas(true, true);
}"""
PICTURE_SIZE = "async (image) => { await image.decode(); return [image.naturalWidth, image.naturalHeight]; }"
CONVERT = "async () => (await window.app.graphToPrompt()).output"
WIDGET = """([type, name]) => window.app.graph.nodes
  .find((node) => node.type === type).widgets.find((widget) => widget.name === name).value"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    comfyui = ComfyUI(
        tmp_path_factory.mktemp("data") / "base",
        front_end=True,
    )
    write_clip(comfyui.folder / "input/clip.mp4")
    write_clip(comfyui.folder / "input/people.mp4", "two_people")
    settings = comfyui.folder / "user/default/comfy.settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps(SETTINGS))
    with comfyui:
        yield comfyui


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(server: ComfyUI, browser: Any) -> Iterator[Any]:
    """The page when it is ready; fails at the end where it reported an error since."""
    opened = browser.new_page(viewport={"width": 1500, "height": 900})
    opened.set_default_timeout(SECONDS)
    opened.goto(server.url)
    opened.wait_for_function("() => window.app?.extensionManager && window.app.canvas?.graph?.nodes.length")
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    yield opened
    opened.close()
    assert [text for text in said if not any(known in text for known in NOT_OURS)] == []


def run(page: Any, server: ComfyUI, panel: str) -> None:
    """Press *Run*, and wait for what a panel shows then."""
    known = set(server.get("/history"))
    page.evaluate("() => window.app.queuePrompt(0)")
    page.wait_for_selector(panel)
    while not (ended := set(server.get("/history")) - known):
        page.wait_for_timeout(200)
    assert server.finished(ended.pop())["status"]["status_str"] == "success"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_opens_and_is_converted_as_the_tests_convert_it(path: Path, page: Any, tool: Any) -> None:
    workflow = read(path)
    packs = {node["type"]: node["properties"]["cnr_id"] for node in workflow["nodes"]}
    missing = page.evaluate(OPEN, workflow)
    assert {packs[kind] for kind in missing}.isdisjoint(INSTALLED)
    converted = page.evaluate(CONVERT)
    expected = tool.api_prompt(workflow, tool.kinds())
    known = {number: node["class_type"] for number, node in expected.items() if node["class_type"] not in missing}
    assert converted.keys() == expected.keys()
    assert {number: converted[number]["class_type"] for number in known} == known
    ours = [number for number, node in expected.items() if packs[node["class_type"]] == "redetail"]
    assert len(ours) >= 4
    for number in ours:
        assert converted[number]["inputs"] == expected[number]["inputs"]


def test_tracked_faces_runs_to_its_end_and_is_compared_under_the_divider(page: Any, server: ComfyUI) -> None:
    page.evaluate(OPEN, read(next(path for path in FILES if path.stem == "tracked_faces")))
    run(page, server, ".redetail-compare:not(.redetail-compare-empty)")
    view = page.locator(".redetail-compare-view")
    assert view.get_attribute("aria-valuenow") == "50"
    view.focus()
    for key, place in (("ArrowRight", "52"), ("Home", "0"), ("End", "100")):
        page.keyboard.press(key)
        assert view.get_attribute("aria-valuenow") == place
    page.keyboard.press("ArrowUp")
    assert page.locator(".redetail-compare-frames").inner_text().strip() == "frame 2 of 6"


def test_a_click_on_a_thumbnail_is_saved_in_the_workflow(page: Any, server: ComfyUI, tool: Any) -> None:
    assert page.evaluate(OPEN, picking(tool)) == []
    page.evaluate(SHOW)
    run(page, server, ".redetail-pick-card")
    cards = page.locator(".redetail-pick-card")
    assert cards.count() == 2
    for card in cards.all():
        assert max(card.locator("img").evaluate(PICTURE_SIZE)) == 160
    for number, choice in ((0, "face 1"), (1, "face 1, face 2"), (0, "face 2")):
        cards.nth(number).click()
        assert page.evaluate(WIDGET, ["RedetailPick", "choice"]) == choice
        assert cards.nth(number).get_attribute("aria-pressed") == str(f"face {number + 1}" in choice).lower()
    saved = page.evaluate("() => window.app.graph.serialize().nodes.find((node) => node.type === 'RedetailPick')")
    assert saved["widgets_values"] == ["face 2"]
    assert page.evaluate(CONVERT)["4"]["inputs"]["choice"] == "face 2"
    if PICTURE in os.environ:
        page.evaluate(SHOW)
        page.mouse.move(1400, 850)
        page.wait_for_timeout(1000)
        page.screenshot(path=os.environ[PICTURE], clip={"x": 60, "y": 70, "width": 1180, "height": 440})


def picking(tool: Any) -> dict[str, Any]:
    """A workflow that ends with Redetail Pick, beside a detailer that is not run."""
    with tool.stand_in():
        defaults = {name: tool.widget_defaults(node) for name, node in tool.nodes().items()}
    graph = tool.Graph(tool.kinds(), defaults)
    video = graph.add("LoadVideo", 0, {"file": "people.mp4"})
    clip = graph.add("GetVideoComponents", 0, video=video["VIDEO"])
    segs = graph.add("RedetailTrack", 1, {"subjects": 0}, image_frames=clip["images"])
    picked = graph.add("RedetailPick", 2, image_frames=clip["images"], segs=segs["segs"])
    graph.add("RedetailDetailer", 3, image_frames=clip["images"], segs=picked["segs"])
    return dict(graph.document())
