"""Hub names: fetched only where nothing on this machine has the name, and only what is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from redetail.engines.hub import checkpoint_path
from redetail.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"

hub = pytest.importorskip("huggingface_hub")


class Snapshots:
    """Stands in for the hub: models that are in the cache, and models that could be fetched."""

    def __init__(self, cached: set[str] = frozenset(), online: set[str] = frozenset()) -> None:
        self.cached, self.online, self.asked = cached, online, []
        self.folder = "/cache"
        self.patterns: list[tuple[list[str], list[str]]] = []

    def __call__(self, name: str, *, local_files_only: bool, **options: Any) -> str:
        self.asked.append((name, local_files_only))
        self.patterns.append((options["allow_patterns"], options["ignore_patterns"]))
        if name in (self.cached if local_files_only else self.online):
            return f"{self.folder}/{name}"
        raise (FileNotFoundError("not in the cache") if local_files_only else OSError("no route\nat all"))


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
    assert "downloading the model of that name" in caplog.text
    described, fetched = (allowed for allowed, _ in snapshots.patterns[1:])
    assert not any("safetensors" in pattern for pattern in described)
    assert {"unet/*.safetensors", "text_encoder_2/*.safetensors"} <= {*fetched}


@pytest.mark.parametrize("whole", [False, True])
def test_of_two_experts_one_is_fetched_unless_both_are_used(snapshots: Snapshots, tmp_path: Path, whole: bool) -> None:
    for part in ("transformer", "transformer_2"):
        folder = tmp_path / "owner" / "wan" / part
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"_class_name": "WanTransformer3DModel"}))
    snapshots.online, snapshots.folder = {"owner/wan"}, str(tmp_path)
    assert checkpoint_path("owner/wan", whole=whole) == tmp_path / "owner" / "wan"
    _, ignored = snapshots.patterns[-1]
    assert ("transformer/*" in ignored) is not whole
    assert "transformer_2/*" not in ignored
    snapshots.cached = {"owner/wan"}
    (tmp_path / "owner" / "wan" / "transformer_2" / "a.safetensors").touch()
    asked = len(snapshots.asked)
    checkpoint_path("owner/wan", whole=whole)
    assert len(snapshots.asked) - asked == (3 if whole else 1), "the expert that was left out is fetched when asked for"


def test_without_a_network_one_sentence_says_so(snapshots: Snapshots) -> None:
    with pytest.raises(ModelError) as caught:
        checkpoint_path("owner/model")
    assert str(caught.value) == (
        "There is no file or folder owner/model, and no model of that name can be downloaded from the Hugging Face Hub "
        "(no route); give a file or a folder on this machine."
    )


@pytest.mark.parametrize("name", ["model", "a/b/c", "/none", "models/dream.safetensors", "../x", Path("owner/model")])
def test_what_is_no_hub_name_is_not_asked_for(snapshots: Snapshots, name: str | Path) -> None:
    with pytest.raises(ModelError, match="There is no checkpoint"):
        checkpoint_path(name)
    assert snapshots.asked == []


# --- a hub on this machine


@pytest.fixture
def endpoint(restoration_folder: Path) -> Iterator[str]:
    """The address of a server with the part of the hub's interface that fetching uses; it has one model."""
    files = {path.name: path.read_bytes() for path in restoration_folder.iterdir()} | {"other.safetensors": b"unwanted"}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            if path.startswith("/api/models/owner/model/tree/"):
                self._answer(
                    json.dumps(
                        [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in files.items()]
                    ).encode()
                )
            elif path.startswith("/api/models/owner/model"):
                siblings = [{"rfilename": name} for name in files]
                self._answer(json.dumps({"id": "owner/model", "sha": COMMIT, "siblings": siblings}).encode())
            elif path.startswith(f"/owner/model/resolve/{COMMIT}/") and path.rpartition("/")[2] in files:
                name = path.rpartition("/")[2]
                self._answer(files[name], {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT})
            else:
                self._answer(b"{}", {"X-Error-Code": "RepoNotFound"}, 404)

        def _answer(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(name: str, endpoint: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """In a separate process: the hub's package reads its environment when it is imported."""
    code = (
        "import sys\n"
        "from redetail.engines.hub import checkpoint_path\n"
        "from redetail.errors import ModelError\n"
        "try: print(checkpoint_path(sys.argv[1]))\n"
        "except ModelError as error: print(f'refused: {error}')\n"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "NO_PROXY": "*",
        "HF_HUB_DISABLE_XET": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, name],
        env=environment,
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_name_is_fetched_over_the_network_and_then_found_without_it(endpoint: str, tmp_path: Path) -> None:
    first = fetched("owner/model", endpoint, tmp_path)
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.strip())
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "config.json", "model.safetensors"]
    again = fetched("owner/model", "http://127.0.0.1:9", tmp_path)
    assert again.stdout == first.stdout, again.stderr


def test_a_name_that_the_hub_does_not_have(endpoint: str, tmp_path: Path) -> None:
    ran = fetched("owner/none", endpoint, tmp_path)
    assert ran.stdout.startswith("refused: There is no file or folder owner/none, and no model of that name"), (
        ran.stderr
    )
    assert len(ran.stdout.splitlines()) == 1
