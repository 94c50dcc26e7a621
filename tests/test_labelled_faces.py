"""The labelled faces of benchmarks/labels, and the counts that are made with them."""

import hashlib
import importlib
import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
CORNERS = (10.0, 10.0, 60.0, 70.0)
ELSEWHERE = (200.0, 10.0, 250.0, 70.0)


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("labelled_faces")


def clip(
    labelled: ModuleType, frames: dict[int, list[tuple[tuple[float, ...], str]]], cuts: tuple[int, ...] = ()
) -> Any:
    faces = {frame: [labelled.Face(box, identity) for box, identity in rows] for frame, rows in frames.items()}
    return labelled.Clip("clip", "", "tune", cuts, faces)


def region(label: str, start: int, *boxes: tuple[float, ...]) -> SimpleNamespace:
    return SimpleNamespace(label=label, start=start, boxes=np.array(boxes))


def test_the_set_is_as_large_as_its_page_says_and_its_labels_lie_inside_the_frames(labelled: ModuleType) -> None:
    clips = labelled.read_labels()
    frames = [faces for each in clips for faces in each.frames.values()]
    counted = sum(face.counts for faces in frames for face in faces)
    page = " ".join((FOLDER / "labels" / "README.md").read_text().split())
    assert f"{len(frames)} frames from {len(clips)} short clips" in page
    assert f"They show {counted} faces of 20 pixels and more" in page
    for half in labelled.HALVES:
        there = [each for each in clips if each.half == half]
        faces_there = sum(face.counts for each in there for faces in each.frames.values() for face in faces)
        row = (half, len(there), sum(len(each.frames) for each in there), faces_there)
        assert "| `{}` | {} | {} | {} |".format(*row) in page
    for faces in frames:
        named = [face.identity for face in faces if face.identity != "?"]
        assert len(named) == len(set(named)), "nobody is in two places"
        assert all(0 <= face.box[0] < face.box[2] <= 480 and 0 <= face.box[1] < face.box[3] <= 480 for face in faces)


def test_the_page_downloads_the_packages_of_the_labels() -> None:
    (line,) = re.findall(r"^for name in (.*); do$", (FOLDER / "labels" / "README.md").read_text(), re.MULTILINE)
    clips = json.loads((FOLDER / "labels" / "faces.json").read_text())["clips"]
    needed = {f"{one['package'].removeprefix('comfyui-workflow-templates-media-')}=={one['version']}" for one in clips}
    assert set(line.split()) == needed


def test_the_first_halves_follow_the_names(labelled: ModuleType) -> None:
    for each in labelled.read_labels():
        family = re.sub(r"-\d+$", "", each.name).encode()
        first = "tune" if hashlib.sha256(family).digest()[0] % 2 == 0 else "held-out"
        assert each.half in (first, "added", "fresh")


def test_the_later_clips_are_divided_by_the_makers_of_their_models(labelled: ModuleType) -> None:
    makers: dict[str, list[str]] = {}
    for each in labelled.read_labels():
        if each.half in ("added", "fresh"):
            (maker,) = re.findall(r"^api_([a-z]+)", each.name)
            makers.setdefault(maker, []).append(each.half)
    clips = {"added": 0, "fresh": 0}
    for maker in sorted(makers, key=lambda maker: hashlib.sha256(maker.encode()).hexdigest()):
        smaller = min(clips, key=clips.__getitem__)
        assert set(makers[maker]) == {smaller}
        clips[smaller] += len(makers[maker])


def test_no_template_is_in_the_first_halves_and_among_the_later_clips(labelled: ModuleType) -> None:
    families: dict[bool, set[str]] = {True: set(), False: set()}
    for each in labelled.read_labels():
        families[each.half in ("added", "fresh")].add(re.sub(r"-\d+$", "", each.name))
    assert not families[True] & families[False]


def test_another_version_is_refused(labelled: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    path.write_text('{"labels_version": 1, "clips": []}')
    with pytest.raises(ValueError, match="version 1"):
        labelled.read_labels(path)


def test_found_missed_and_wrong(labelled: ModuleType) -> None:
    small = (300.0, 10.0, 315.0, 28.0)
    labels = clip(labelled, {4: [(CORNERS, "a"), (ELSEWHERE, "?"), (small, "b")]})
    counts, holders = labelled.measure(labels, [region("face 1", 4, CORNERS), region("face 2", 4, ELSEWHERE)])
    assert (counts.faces, counts.found, counts.wrong) == (1, 1, 0)  # what is open or small counts neither way
    assert holders == {(4, "a"): "face 1"}
    aside = (60.0, 10.0, 110.0, 70.0)
    counts, _ = labelled.measure(labels, [region("face 1", 3, aside, aside), region("face 2", 5, CORNERS)])
    assert (counts.found, counts.wrong, counts.recall, counts.precision) == (0, 1, 0.0, 0.0)


def test_a_subject_of_two_people_is_joined(labelled: ModuleType) -> None:
    labels = clip(labelled, {0: [(CORNERS, "a")], 1: [(CORNERS, "b")]})
    counts, _ = labelled.measure(labels, [region("face 1", 0, CORNERS, CORNERS)])
    assert counts.joined == 1


def test_returns_are_told_from_steps(labelled: ModuleType) -> None:
    here = [(CORNERS, "a")]
    labels = clip(labelled, {0: here, 4: here, 8: [], 12: here, 16: here}, cuts=(14,))
    one = [region("face 1", 0, *[CORNERS] * 17)]
    counts, _ = labelled.measure(labels, one)
    assert (counts.steps, counts.stayed, counts.returns, counts.kept) == (1, 1, 2, 2)
    two = [region("face 1", 0, *[CORNERS] * 10), region("face 2", 10, *[CORNERS] * 7)]
    counts, _ = labelled.measure(labels, two)
    assert (counts.steps, counts.stayed, counts.returns, counts.kept) == (1, 1, 2, 1)
