"""A ComfyUI checkout, started as its users start it: its own Python, its own process, a folder of its own for data."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
CHECKOUT, PYTHON = "REDETAIL_COMFYUI", "REDETAIL_COMFYUI_PYTHON"
"""Environment variables: the folder of a ComfyUI checkout, and the Python that has what it needs."""

# Conditioning without the half gigabyte of a text encoder.
TEXT_NODE = """
import torch

class ToyText:
    CATEGORY, FUNCTION, RETURN_TYPES = "toys", "told", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seed": ("INT", {"default": 0})}}

    def told(self, seed):
        generator = torch.Generator().manual_seed(seed)
        return ([[torch.randn(1, 77, 768, generator=generator), {}]],)

NODE_CLASS_MAPPINGS = {"ToyText": ToyText}
"""


class ComfyUI:
    """The ComfyUI that the environment names, running with this repository among its custom nodes; ``folder`` is what
    it may write to.

    ``packs`` are other packs beside it, by the name of their folder; ``variables`` are added to its environment.
    With ``front_end`` its own page is at :attr:`url`, else an empty one.
    """

    def __init__(
        self,
        folder: Path,
        packs: Mapping[str, Path] | None = None,
        variables: Mapping[str, str] | None = None,
        front_end: bool = False,
    ) -> None:
        self.folder, self._checkout = folder, Path(os.environ[CHECKOUT])
        self._python = os.environ.get(PYTHON, sys.executable)
        self._front_end = front_end
        self._variables = dict(variables or {})
        for name in ("custom_nodes/toys", "input", "output", "user", "front", "models/checkpoints"):
            (folder / name).mkdir(parents=True)
        (folder / "front/index.html").write_text("<html></html>")
        (folder / "custom_nodes/toys/__init__.py").write_text(TEXT_NODE)
        for name, source in {"redetail": ROOT, **(packs or {})}.items():
            (folder / "custom_nodes" / name).symlink_to(source, target_is_directory=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ComfyUI:
        command = [self._python, "main.py", "--cpu", "--port", self.url.rpartition(":")[2]]
        command += ["--base-directory", str(self.folder), "--user-directory", str(self.folder / "user")]
        command += [] if self._front_end else ["--front-end-root", str(self.folder / "front")]
        command += ["--disable-auto-launch", "--disable-api-nodes"]
        command += ["--database-url", f"sqlite:///{self.folder}/user/comfyui.db"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **self._variables}
        with (self.folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_for("/system_stats", 300)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        """What it said, without the colours that newer versions give to the level of a line."""
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.folder / "log.txt").read_text(errors="replace"))

    def get(self, path: str) -> Any:
        """The JSON at a path of the server."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def run(self, prompt: Mapping[str, Any], seconds: float = 300) -> dict[str, Any]:
        """Post a workflow and wait for it; its entry of the history. Raises RuntimeError where it failed."""
        entry = self.finished(self.post(prompt), seconds)
        if entry["status"]["status_str"] != "success":
            raise RuntimeError(json.dumps(entry["status"]["messages"], indent=1))
        return entry

    def post(self, prompt: Mapping[str, Any]) -> str:
        """Put a workflow in the queue; its id. Raises RuntimeError where ComfyUI does not take it."""
        answer: dict[str, str] = self._send("/prompt", {"prompt": prompt})
        return answer["prompt_id"]

    def interrupt(self) -> None:
        """What the stop button does."""
        self._send("/interrupt", {})

    def finished(self, number: str, seconds: float = 300) -> dict[str, Any]:
        """The entry of the history of a workflow, once it has ended."""
        entry: dict[str, Any] = self._wait_for(f"/history/{number}", seconds, number)
        return entry

    def _send(self, path: str, values: Mapping[str, Any]) -> Any:
        body = json.dumps(values).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def _wait_for(self, path: str, seconds: float, key: str | None = None) -> Any:
        """What a path answers, once it does and has ``key``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended:\n{self.log[-4000:]}")
            try:
                answer = self.get(path)
                if key is None or key in answer:
                    return answer if key is None else answer[key]
            except (urllib.error.URLError, ConnectionError):
                pass
            time.sleep(0.2)
        raise TimeoutError(f"ComfyUI did not answer {path} within {seconds} s:\n{self.log[-4000:]}")
