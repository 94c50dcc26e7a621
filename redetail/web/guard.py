"""The guard in front of the page: who may send requests, for what, and of which size.

Gradio has more routes than the page needs, some of which fetch addresses or run code. So only those listed here are
reachable, and browsers are told to load nothing from anywhere else.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""
UPLOAD = "/gradio_api/upload"
LARGEST_MESSAGE = 64 * 2**20
"""Bytes of any request that is not an upload: a painted mask of a large frame is the largest."""
_ALLOWED = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/(assets|static|files|runs)/.*"
    r"|/gradio_api/(info|app_id|startup-events|theme\.css|upload|upload_progress|cancel|reset/?|heartbeat/[\w-]+"
    r"|queue/(join|data)|component_server/?|file=(?!https?:).*)"
)
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class _TooMuch(Exception):
    """More was sent than is allowed."""


class Guard:
    """Wraps an ASGI application.

    ``host``: what the server listens on; without ``password`` only requests to names of this machine are answered, so
    that a page elsewhere cannot reach it under another name. ``user`` and ``password``: required for every request.
    ``largest``: bytes of an upload.
    """

    def __init__(self, app: App, host: str, user: str, password: str, largest: int) -> None:
        self._app, self._host, self._largest = app, host, largest
        self._secret = f"{user}:{password}".encode() if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await _answer(send, *refused)
            return
        limit = self._limit(scope["path"])
        started = False

        async def limited() -> Message:
            nonlocal limit
            message = await receive()
            limit -= len(message.get("body", b""))
            if limit < 0:
                raise _TooMuch
            return message

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = {name for name, _ in _HEADERS}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in own]
                message["headers"] = kept + _HEADERS
            await send(message)

        try:
            await self._app(scope, limited, guarded)
        except _TooMuch:
            if not started:
                await _answer(send, 413, "The request is larger than this page accepts.")

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the sentence of a refusal; None if the request may go on."""
        if scope["type"] != "http":
            return 403, "Only ordinary HTTP requests are answered."
        headers = {name.lower(): value for name, value in scope["headers"]}
        asked = _host_of(headers.get(b"host", b""))
        if self._secret is None and asked not in (*LOCAL, self._host):
            return 421, "This page can be opened only on the machine that serves it."
        if self._secret is not None and not hmac.compare_digest(_credentials(headers), self._secret):
            return 401, "Enter the user name and the password."
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
            return 403, "The request comes from another page; only requests from this page are answered."
        if not _ALLOWED.fullmatch(scope["path"]):
            return 404, "There is no such page."
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > self._limit(scope["path"]):
            return 413, "The request is larger than this page accepts."
        return None

    def _limit(self, path: str) -> int:
        return self._largest + 2**20 if path == UPLOAD else LARGEST_MESSAGE


def _host_of(header: bytes) -> str:
    """The name in a Host header, without its port."""
    name = header.decode("latin-1").lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def _credentials(headers: MutableMapping[bytes, bytes]) -> bytes:
    kind, _, text = headers.get(b"authorization", b"").partition(b" ")
    try:
        return base64.b64decode(text, validate=True) if kind.lower() == b"basic" else b""
    except binascii.Error:
        return b""


async def _answer(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="redetail", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{sentence}\n".encode()})
