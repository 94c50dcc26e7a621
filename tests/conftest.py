"""Fixtures that every folder of tests shares."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Snapshot = Callable[[str, str], None]


@pytest.fixture
def snapshot() -> Snapshot:
    """Compare a text with the file of that name under tests/snapshots.

    ``UPDATE_SNAPSHOTS=1 pytest ...`` writes the files anew; the difference is then reviewed like any other change.
    """

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "snapshots" / name
        if os.environ.get("UPDATE_SNAPSHOTS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{name} changed; if that is meant: UPDATE_SNAPSHOTS=1 make test"

    return compare
