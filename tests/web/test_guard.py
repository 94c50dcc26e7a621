"""The guard, before an application that answers everything."""

import asyncio
import base64
from typing import Any

import pytest

from redetail.web.guard import Guard

HOST = (b"host", b"127.0.0.1:7860")


async def everything(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


def asked(guard: Guard, path: str, *headers: tuple[bytes, bytes]) -> tuple[int, bytes, dict[bytes, bytes]]:
    """Status, body and headers of the answer to a request."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard({"type": "http", "path": path, "headers": [HOST, *headers]}, receive, send))
    return sent[0]["status"], sent[1]["body"], dict(sent[0]["headers"])


def signed(text: bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Basic " + base64.b64encode(text)


@pytest.mark.parametrize("path", ["/", "/config", "/files/a.mp4", "/gradio_api/upload", "/assets/x.js", "/nothing"])
def test_with_a_password_nothing_is_answered_without_it(path: str) -> None:
    guard = Guard(everything, "0.0.0.0", "anna", "sec ret", 100)
    wrong = [(), (signed(b"anna:wrong"),), (signed(b"anna"),), ((b"authorization", b"Basic %%%"),),
             ((b"authorization", b"Bearer " + base64.b64encode(b"anna:sec ret")),)]  # fmt: skip
    for headers in wrong:
        status, body, answered = asked(guard, path, *headers)
        assert (status, b"secret" in body) == (401, False)
        assert answered[b"www-authenticate"].startswith(b"Basic")


def test_with_the_password_the_page_is_answered_under_any_name() -> None:
    guard = Guard(everything, "0.0.0.0", "anna", "sec ret", 100)
    assert asked(guard, "/", signed(b"anna:sec ret"), (b"host", b"studio.example"))[0] == 200


def test_browsers_are_told_to_ask_nobody_else() -> None:
    status, _, headers = asked(Guard(everything, "127.0.0.1", "", "", 100), "/")
    assert status == 200
    assert b"default-src 'self'" in headers[b"content-security-policy"]
