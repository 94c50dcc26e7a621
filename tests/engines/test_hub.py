"""Hub names: fetched only where nothing on this machine has the name, and only what is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redetail.engines.hub import checkpoint_path
from redetail.errors import ModelError

hub = pytest.importorskip("huggingface_hub")


class Snapshots:
    """Stands in for the hub: models that are in the cache, and models that could be fetched."""

    def __init__(self, cached: set[str] = frozenset(), online: set[str] = frozenset()) -> None:
        self.cached, self.online, self.asked = cached, online, []

    def __call__(self, name: str, *, local_files_only: bool, **options: Any) -> str:
        self.asked.append((name, local_files_only))
        assert {"unet/*.safetensors", "text_encoder_2/*.safetensors"} <= {*options["allow_patterns"]}
        if name in (self.cached if local_files_only else self.online):
            return f"/cache/{name}"
        raise (
            hub.errors.LocalEntryNotFoundError("not in the cache") if local_files_only else OSError("no route\nat all")
        )


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> Snapshots:
    made = Snapshots()
    monkeypatch.setattr(hub, "snapshot_download", made)
    return made


def test_what_is_on_this_machine_is_never_asked_for(snapshots: Snapshots, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert checkpoint_path("owner/model") == Path("owner/model")
    assert snapshots.asked == []


def test_what_was_fetched_before_is_not_fetched_again(snapshots: Snapshots) -> None:
    snapshots.cached = {"owner/model"}
    assert checkpoint_path("owner/model") == Path("/cache/owner/model")
    assert snapshots.asked == [("owner/model", True)]


def test_a_hub_name_is_fetched_and_that_is_said(snapshots: Snapshots, caplog: pytest.LogCaptureFixture) -> None:
    snapshots.online = {"owner/model"}
    assert checkpoint_path("owner/model") == Path("/cache/owner/model")
    assert "fetching the model of that name" in caplog.text


def test_without_a_network_one_sentence_says_so(snapshots: Snapshots) -> None:
    with pytest.raises(ModelError) as caught:
        checkpoint_path("owner/model")
    assert str(caught.value) == (
        "There is no file or folder owner/model, and no model of that name can be fetched from the hub (no route); "
        "give a file or a folder on this machine."
    )


@pytest.mark.parametrize("name", ["model", "a/b/c", "/none", "models/dream.safetensors", "../x", Path("owner/model")])
def test_what_is_no_hub_name_is_not_asked_for(snapshots: Snapshots, name: str | Path) -> None:
    with pytest.raises(ModelError, match="There is no checkpoint"):
        checkpoint_path(name)
    assert snapshots.asked == []
