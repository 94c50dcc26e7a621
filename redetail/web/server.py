"""The server: the page, files of the folder and of runs, and the guard before them."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redetail.errors import DependencyError, InputError, SettingsError
from redetail.job import Job
from redetail.sampling.samplers import sampler_names
from redetail.sampling.schedulers import scheduler_names
from redetail.web.folder import Folder, media_type
from redetail.web.forms import form_fields, with_defaults
from redetail.web.guard import LOCAL, Guard
from redetail.web.locks import FileLock
from redetail.web.orders import JOB, LOOP, REPORT, SHEET, Desk
from redetail.web.queue import RunQueue
from redetail.web.runs import RunStore

_PACKAGE = "gradio"
LARGEST_UPLOAD = 4 * 10**9
_OF_RUNS = re.compile(rf"{'|'.join(map(re.escape, (REPORT, JOB, SHEET, LOOP)))}|tracks-thumbnails/\d+\.png")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".toml": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".webp": "image/webp",
}


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the page is served.

    ``folder``: where clips are and results go; ``models``: weight files, which are only read (None: the folder's own
    ``models``); ``password`` with ``user``: required from everyone. ``largest``: bytes of an upload. ``config``: the
    values for whatever the page leaves open. Raises :class:`~redetail.errors.SettingsError` for a host that others can
    reach, without a password.
    """

    folder: Path
    models: Path | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    user: str = ""
    password: str = ""
    largest: int = LARGEST_UPLOAD
    config: Job = field(default_factory=Job)

    def __post_init__(self) -> None:
        if self.host not in LOCAL and not self.password:
            raise SettingsError(
                f"With --host {self.host}, other machines could open this page without a password; add --auth "
                "USER:PASSWORD, or leave out --host."
            )
        if not 0 <= self.port < 2**16:
            raise SettingsError(f"port is {self.port}; give a number from 0 to 65535.")


def serve(options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted; ``ready`` gets its address. Runs continue when it ends.

    Raises :class:`~redetail.errors.RedetailError` if the folder is in use by another server, the port is taken, or
    Gradio is not installed.
    """
    _quiet_gradio()
    try:
        import uvicorn
    except ImportError as error:
        raise DependencyError(_PACKAGE, "web") from error
    folder = Folder.of(options.folder, options.models)
    lock = _only_server(folder)
    queue = RunQueue(RunStore(folder.state / "runs"))
    try:
        listening = _listening(options)
        config = uvicorn.Config(application(options, folder, queue), log_level="warning", access_log=False)
        queue.start()
        host, port = options.host, listening.getsockname()[1]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        queue.close()
        lock.release()


def application(options: ServerOptions, folder: Folder, queue: RunQueue) -> Any:
    """The whole server as an ASGI application; raises :class:`~redetail.errors.DependencyError` without Gradio."""
    _quiet_gradio()
    os.environ["GRADIO_TEMP_DIR"] = str(_made(folder.state / "cache"))
    try:
        import fastapi
        import gradio
    except ImportError as error:
        raise DependencyError(_PACKAGE, "web") from error
    from redetail.web.page.handlers import Handlers
    from redetail.web.page.layout import SCRIPT, build, css, theme, usual_model
    from redetail.web.page.wiring import wire

    form = form_fields({"sampler": sampler_names(), "scheduler": scheduler_names()})
    desk = Desk(folder, queue, options.config)
    page, parts = build(with_defaults(form, desk.defaults("")), usual_model(options.config))
    wire(page, parts, Handlers(desk, form, tuple(parts.models), options.largest))
    page.queue(default_concurrency_limit=8, max_size=256, api_open=False)
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_files(app, folder, queue)
    app = gradio.mount_gradio_app(
        app, page, "/", server_name=options.host, server_port=options.port, footer_links=[], run_history=False,
        allowed_paths=[], blocked_paths=[str(folder.state / "runs")], show_error=True, max_file_size=options.largest,
        ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False, theme=theme(), css=css(), js=SCRIPT,
    )  # fmt: skip
    return Guard(app, options.host, options.user, options.password, options.largest)


def _add_files(app: Any, folder: Folder, queue: RunQueue) -> None:
    """Routes for files: clips and pictures of the folder, and the results of runs."""
    from fastapi.responses import FileResponse, PlainTextResponse

    def missing(error: InputError) -> Any:
        return PlainTextResponse(f"{error}\n", status_code=404)

    def file(name: str) -> Any:
        try:
            path = folder.inside(name)
            kind = media_type(path)
        except InputError as error:
            return missing(error)
        return FileResponse(path, media_type=kind)

    def run_file(run: str, name: str) -> Any:
        try:
            path = queue.get(run).folder / name
            if not _OF_RUNS.fullmatch(name) or path.is_symlink() or not path.is_file():
                raise InputError("The run has no such file.")
        except InputError as error:
            return missing(error)
        return FileResponse(path, media_type=_TYPES[path.suffix])

    app.add_api_route("/files/{name:path}", file, methods=["GET", "HEAD"])
    app.add_api_route("/runs/{run}/{name:path}", run_file, methods=["GET", "HEAD"])


def _listening(options: ServerOptions) -> socket.socket:
    """A socket that listens; raises :class:`~redetail.errors.SettingsError` if that fails."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # on Windows it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"The page cannot be served at {options.host}:{options.port} ({error.strerror or error}); choose another "
            "--port."
        ) from error
    return listening


def _only_server(folder: Folder) -> FileLock:
    lock = FileLock(_made(folder.state) / "server.lock")
    if not lock.take():
        raise InputError(
            f"The folder {folder.root} is already open in another redetail web process; use that one, or choose "
            "another folder."
        )
    return lock


def _made(path: Path) -> Path:
    from redetail.files import cannot_write

    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def _quiet_gradio() -> None:
    """Make Gradio send nothing to anyone and ask no other host for anything."""
    for name, value in (
        ("GRADIO_ANALYTICS_ENABLED", "False"),
        ("GRADIO_RUN_HISTORY", "False"),
        ("HF_HUB_OFFLINE", "1"),
    ):
        os.environ[name] = value
    logging.getLogger("httpx").setLevel(logging.WARNING)
