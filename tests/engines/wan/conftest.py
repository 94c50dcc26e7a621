"""The engine of a thin Wan model, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from redetail.engines import Engine, load_engine


@pytest.fixture(scope="session")
def wan(wan_folder: Path) -> Engine:
    return load_engine(wan_folder, device="cpu")
