"""The report as a value, and as the document that docs/report.md describes."""

import json
import re
from pathlib import Path

import numpy as np

import redetail
from redetail.engines import FakeEngine

ROOT = Path(__file__).parents[2]
FRAMES = np.tile(np.arange(60, dtype=np.uint8)[None, None, :, None], (3, 40, 1, 3))
QUICK = {"guide_size": 32, "max_size": 32, "crop_factor": 1.5, "steps": 2}


def report(**more) -> redetail.Report:
    subjects = [redetail.Subject(2, settings={"seed": 3})]
    boxes = [(5, 5, 25, 25), (30, 5, 50, 25)]
    return redetail.detail(FRAMES, box=boxes, engine=FakeEngine(), subjects=subjects, **QUICK, **more).report


def test_the_values_of_a_report() -> None:
    made = report()
    assert [measured.mean_change > 1 for measured in made.regions] == [True, True]
    assert made.untouched.changed_pixels == 0
    assert made.passes["write"].frames == 3
    assert made.job is None  # the frames and the engine are objects


def test_the_document_has_what_its_page_describes_and_nothing_else() -> None:
    document = json.loads(json.dumps(report().to_document()))
    named = set(re.findall(r"`([a-z_]+)", (ROOT / "docs" / "report.md").read_text()))
    assert document.keys() <= named
    assert document["regions"][0].keys() <= named
    assert [region["settings"] for region in document["regions"]] == [{}, {"seed": 3}]
    assert document["report_version"] == 1
    assert document["frames"] == {"start": 0, "stop": 3, "size": [60, 40]}
    assert set(document["regions"][0]["measured"]) == {
        "warped_error", "window_acceleration", "subject_acceleration", "mean_change", "finest_octave", "sharper"
    }  # fmt: skip
    assert document["output"] == {"size": [60, 40], "scale": [1, 1]}
    assert set(document["passes"]["detail"]) == {"seconds", "frames_per_second"}


def test_tracks_of_an_enlarged_output_are_in_both_coordinates() -> None:
    document = report(scale=1.5).to_document()
    assert document["frames"]["size"] == [60, 40]
    assert document["output"]["size"] == [90, 60]
    assert document["output"]["scale"] == [1.5, 1.5]
    for own, written in zip(document["regions"], document["output"]["regions"], strict=True):
        for name in ("boxes", "window_size", "window_path"):
            np.testing.assert_allclose(np.array(own[name]) * 1.5, written[name], atol=0.01)  # rounding
    assert document["untouched"] == {"frames": 3, "changed_pixels_outside_masks": 0}
