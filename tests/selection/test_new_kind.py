"""A kind of selection is one class and one line in the registry: library, jobs and command line all reach it."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pytest

import redetail
from redetail import selection
from redetail.cli.parser import build_parser
from redetail.cli.request import job_of
from redetail.documents import WrongKindError, number
from redetail.engines import FakeEngine
from redetail.errors import RegionError
from redetail.region import Box, Region, Size
from redetail.selection.base import CommandOption, Search, Selection
from redetail.tracking import region_from_box


@dataclass(frozen=True)
class CentreSelection(Selection):
    """A square of ``side`` pixels in the middle of the frame."""

    name: ClassVar[str] = "centre"
    option: ClassVar[CommandOption] = CommandOption("N", "detail a square in the middle", int)

    side: float

    @classmethod
    def from_option(cls, value: Any) -> "CentreSelection":
        return cls(value)

    @classmethod
    def from_document(cls, value: Any, folder: Path) -> "CentreSelection":
        return cls(number(value))

    def to_document(self) -> float:
        return self.side

    def check(self, size: Size) -> None:
        if self.side > min(size.width, size.height):
            raise RegionError(f"centre is {self.side:g}; it must fit into the frame of {size} pixels.")

    def find(self, search: Search) -> list[Region]:
        x, y, half = search.size.width / 2, search.size.height / 2, self.side / 2
        box = Box(x - half, y - half, x + half, y + half)
        return [region_from_box(box, search.size, *search.frame_range(), crop_factor=search.crop_factor)]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that the registry gets."""
    monkeypatch.setattr(selection, "KINDS", MappingProxyType({**selection.KINDS, "centre": CentreSelection}))


FRAMES = np.zeros((2, 40, 60, 3), np.uint8)


def test_the_library_takes_it() -> None:
    (region,) = redetail.plan(FRAMES, centre=20, engine=FakeEngine()).regions
    assert region.box(1) == Box(20, 10, 40, 30)


def test_it_is_checked_before_the_clip_is_read() -> None:
    reports: list[Any] = []
    with pytest.raises(RegionError, match="centre is 50; it must fit into the frame of 60x40"):
        redetail.plan(FRAMES, centre=50, engine=FakeEngine(), progress=reports.append)
    assert reports == []


def test_jobs_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"source": "in.mp4", "centre": 20}))
    job = redetail.read_job(path)
    assert job.selection == (CentreSelection(20),)
    assert redetail.Job.from_document(job.to_document(), tmp_path) == job
    path.write_text(json.dumps({"centre": "a"}))
    with pytest.raises(redetail.SettingsError, match="centre must be a number, not 'a'"):
        redetail.read_job(path)


def test_the_command_line_offers_it(capsys: pytest.CaptureFixture[str]) -> None:
    job = job_of(build_parser().parse_args(["detail", "in.mp4", "--centre", "20"]))
    assert job.selection == (CentreSelection(20),)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["detect", "--help"])
    assert "detail a square in the middle" in capsys.readouterr().out


def test_the_reader_of_values_is_that_of_all_documents() -> None:
    with pytest.raises(WrongKindError, match="a number"):
        CentreSelection.from_document(True, Path())
