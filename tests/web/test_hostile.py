"""Requests that no page would send: all are refused or queued, and nothing is lost."""

import http.client
import json
import os
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import pictures, write_video
from tests.web.conftest import Server

BROKEN = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(4000)


class Client:
    """Speaks HTTP with a server, as badly as it likes."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        self.config: dict[str, Any] = {}

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, target: str, event: str, data: list[Any], event_data: Any = None) -> dict[str, Any]:
        """Trigger an event of the component with this id, with any values; the answer as the page gets it."""
        index, session = self._function(target, event), secrets.token_hex(6)
        body = {"data": data, "fn_index": index, "session_hash": session, "event_data": event_data, "trigger_id": None}
        status, text = self.ask(
            "POST", "/gradio_api/queue/join", json.dumps(body).encode(), Content_Type="application/json"
        )
        if status != 200:
            return {"success": False, "output": {"error": f"{status} {text[:200]!r}"}}
        return self._result(session)

    def _result(self, session: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
        answer = connection.getresponse()
        try:
            while line := answer.readline():
                message = json.loads(line[5:]) if line.startswith(b"data:") else {}
                if message.get("msg") == "process_completed":
                    return dict(message)
            raise AssertionError("no answer")
        finally:
            answer.close()
            connection.close()

    def _function(self, target: str, event: str) -> int:
        if not self.config:
            self.config = json.loads(self.ask("GET", "/config")[1])
        named = {one["id"]: one["props"].get("elem_id") for one in self.config["components"]}
        for function in self.config["dependencies"]:
            if any(named.get(one) == target and what == event for one, what in function["targets"]):
                return int(function["id"])
        raise AssertionError(f"no event {event} of {target}")

    def inputs(self, target: str, event: str) -> list[Any]:
        """The values that the page has at first, for the inputs of an event."""
        index = self._function(target, event)
        values = {one["id"]: one["props"].get("value") for one in self.config["components"]}
        function = next(one for one in self.config["dependencies"] if one["id"] == index)
        return [values.get(one) for one in function["inputs"]]

    def order(self, target: str, first: int = 0, **changed: Any) -> list[Any]:
        """The inputs of a run, with some of its first ones changed: clip, start, end, cards, boxes, mask, who ..."""
        values = self.inputs(target, "click")
        places = (
            "clip",
            "start",
            "end",
            "cards",
            "boxes",
            "mask",
            "detect",
            "who",
            "scale",
            "preset",
            "name",
            "prompt",
        )
        for name, value in changed.items():
            values[first + places.index(name)] = value
        return values

    def upload(self, name: str, content: bytes) -> str:
        """The place of an upload on the server, before the page has taken it."""
        mark = "x" * 20
        head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        status, text = self.ask("POST", "/gradio_api/upload", body, Content_Type=kind)
        assert status == 200, text
        return str(json.loads(text)[0])


def listed(folder: Path) -> list[str]:
    """What is in a folder, which need not be there."""
    return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    outside = folder.parent
    (folder / "link.mp4").symlink_to(outside / "secret.mp4")
    (folder / "up").symlink_to(outside)
    (folder / "notes.txt").write_text("do not tell")
    return write_video(folder / "clip.mp4", pictures(2))


@pytest.fixture(scope="module")
def client(clip: Path, server: Server) -> Client:
    return Client(server.address)


@pytest.mark.parametrize(
    "path",
    [
        "/files/../secret.mp4",
        "/files/%2e%2e/secret.mp4",
        "/files/..%2fsecret.mp4",
        "/files/..%5csecret.mp4",
        "/files//etc/passwd",
        "/files/link.mp4",
        "/files/up/secret.mp4",
        "/files/clip.mp4%00.png",
        "/files/notes.txt",
        "/files/.redetail/server.lock",
        "/runs/../../secret.mp4",
        "/runs/000001-00000000/run.json",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=secret.mp4",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=https://example.hf.space/",
        "/gradio_api/vibe-code",
        "/gradio_api/call/v2/run",
        "/monitoring",
        "/docs",
        "/openapi.json",
    ],
)
def test_paths_outside_and_routes_that_the_page_does_not_need_are_refused(client: Client, path: str) -> None:
    status, body = client.ask("GET", path)
    assert status in (400, 403, 404)
    assert b"do not tell" not in body
    assert b"root:" not in body


def test_the_clip_itself_is_sent(client: Client, clip: Path) -> None:
    assert client.ask("GET", "/files/clip.mp4") == (200, clip.read_bytes())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Length": "99999999999999"}, 413),
        ({"Content-Length": "many"}, 400),
    ],
)
def test_other_names_other_pages_and_too_much_are_refused(client: Client, headers: dict[str, str], status: int) -> None:
    assert client.ask("POST", "/gradio_api/queue/join", **headers)[0] == status


def test_a_body_that_does_not_end_is_cut_off(client: Client) -> None:
    with socket.create_connection((client.host, client.port), 60) as connection:
        head = f"POST /gradio_api/queue/join HTTP/1.1\r\nHost: {client.host}:{client.port}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        answer = b""
        try:
            for _ in range(80):
                connection.sendall(piece)
            answer = connection.recv(1000)
        except OSError:  # it does not listen any more
            return
    assert answer.split(b" ")[1] in (b"400", b"413")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.html", b"<script>alert(1)</script>"),
        ("broken.mp4", BROKEN),
        ("empty.mp4", b""),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        ("bomb.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0" + bytes(100)),
        ("../../../up.mp4", BROKEN),
        ("x.toml", b"source = '/etc/passwd'"),
    ],
)
def test_hostile_uploads_are_refused(client: Client, folder: Path, name: str, content: bytes) -> None:
    before = listed(folder / "uploads")
    place = client.upload(name, content)
    answer = client.call("upload", "upload", [{"path": place, "meta": {"_type": "gradio.FileData"}}])
    assert not answer["success"]
    assert listed(folder / "uploads") == before
    assert not (folder.parent / "up.mp4").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.mp4", "http://127.0.0.1:1/clip.mp4", 7, None])
def test_an_upload_that_was_not_uploaded_is_refused(client: Client, folder: Path, path: Any) -> None:
    given = None if path is None else {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert not client.call("upload", "upload", [given])["success"]


@pytest.mark.parametrize(
    "changed",
    [
        {"clip": "../secret.mp4"},
        {"clip": "/etc/passwd"},
        {"clip": "link.mp4"},
        {"clip": ["clip.mp4"]},
        {"clip": None},
        {"clip": "clip.mp4", "start": "0); drop"},
        {"clip": "clip.mp4", "end": {"a": 1}},
        {"clip": "clip.mp4", "boxes": "1,2,3"},
        {"clip": "clip.mp4", "boxes": "nan,0,9,9"},
        {"clip": "clip.mp4", "boxes": 7},
        {"clip": "clip.mp4", "boxes": "1,2,30,40@--output"},
        {"clip": "clip.mp4", "detect": "--output=/tmp/x"},
        {"clip": "clip.mp4", "detect": 7},
        {"clip": "clip.mp4", "who": ["../secret.mp4"]},
        {"clip": "clip.mp4", "who": ["clip.mp4"]},
        {"clip": "clip.mp4", "who": {"a": 1}},
        {"clip": "clip.mp4", "scale": "1e99"},
        {"clip": "clip.mp4", "preset": "--output=/tmp/x"},
        {"clip": "clip.mp4", "prompt": "x" * 100_000},
    ],
)
def test_wrong_values_of_a_run_are_refused_in_a_sentence(client: Client, folder: Path, changed: dict[str, Any]) -> None:
    before = list((folder / ".redetail" / "runs").iterdir())
    answer = client.call("run", "click", client.order("run", **changed))
    assert not answer["success"]
    assert list((folder / ".redetail" / "runs").iterdir()) == before


@pytest.mark.parametrize(
    "text",
    [
        "source = '/etc/passwd'\n",
        "source = '../secret.mp4'\n",
        "source = 'clip.mp4'\noutput = '/tmp/out.mp4'\n",
        "source = 'clip.mp4'\noutput = '.redetail/out.mp4'\n",
        "source = 'clip.mp4'\nreport = '../report.html'\n",
        "source = 'clip.mp4'\nmask = '/etc/passwd'\n",
        "source = 'clip.mp4'\n[model]\ncheckpoint = 'owner/name'\n",
        "source = 'clip.mp4'\n[model]\ncheckpoint = '/etc/passwd'\n",
        "source = 'clip.mp4'\n[settings]\nloras = ['/etc/passwd:1']\n",
        "source = [" * 3000,
        7,
    ],
)
def test_job_files_that_lead_outside_are_refused(client: Client, folder: Path, text: Any) -> None:
    before = list((folder / ".redetail" / "runs").iterdir())
    assert not client.call("run-job", "click", [text])["success"]
    assert list((folder / ".redetail" / "runs").iterdir()) == before


@pytest.mark.parametrize(
    "event",
    [None, {}, {"action": "stop"}, {"action": "remove", "run": "../.."}, {"action": "erase", "run": 1}, [1], "x"],
)
def test_wrong_buttons_of_the_list_are_refused(client: Client, event: Any) -> None:
    assert not client.call("run-list", "click", [], event)["success"]


def test_ten_runs_at_once_are_queued_one_by_one(client: Client, folder: Path) -> None:
    order = client.order("run", clip="clip.mp4", boxes="10,10,60,60")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: client.call("run", "click", order), range(10)))
    assert all(answer["success"] for answer in answers), answers
    records = {path: json.loads((path / "run.json").read_text()) for path in (folder / ".redetail/runs").iterdir()}
    runs = {path.name: run for path, run in records.items() if run["source"] == str(folder / "clip.mp4")}
    assert len({run["output"] for run in runs.values()}) == 10
    assert sum(run["state"] == "running" for run in runs.values()) <= 1
    for name in sorted(runs, reverse=True):  # what waits is taken out, what runs is stopped
        assert client.call("run-list", "click", [], {"action": "stop", "run": name})["success"]


def test_the_page_answers_as_before_after_all_that(client: Client, clip: Path) -> None:
    assert client.ask("GET", "/")[0] == 200
    assert client.ask("GET", "/files/clip.mp4") == (200, clip.read_bytes())
    assert sorted(os.listdir(clip.parent.parent)) == ["clips", "secret.mp4"]
