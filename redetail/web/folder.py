"""The folder that the page may use: it refuses names that lead out of it, and uploads that are not clips."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
import threading
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from redetail.batch import VIDEOS
from redetail.documents import is_text, shown
from redetail.errors import InputError, RedetailError
from redetail.files import cannot_write

STATE = ".redetail"
"""The hidden folder in which the page keeps its runs."""
UPLOADS, RESULTS = "uploads", "results"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MODELS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
MOST = 1000
"""Files of a kind that are listed."""
PATIENCE = 60.0
"""Seconds in which the first frame of an upload must be read."""
_DEEPEST = 4
_VISITED = 20_000
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows


@dataclass(frozen=True)
class Folder:
    """A folder, and beside it one of models, which is only read. Both are real paths, without links."""

    root: Path
    models: Path

    @classmethod
    def of(cls, root: Path, models: Path | None = None) -> Folder:
        """The folder of that name; raises :class:`~redetail.errors.InputError` if there is none."""
        for path in (root, models):
            if path is not None and not path.is_dir():
                raise InputError(f"There is no folder {path}; create it first.")
        real = Path(os.path.realpath(root))
        usual = real / "models" if (real / "models").is_dir() else real
        return cls(real, usual if models is None else Path(os.path.realpath(models)))

    @property
    def state(self) -> Path:
        """Where runs are kept."""
        return self.root / STATE

    def inside(self, name: object) -> Path:
        """The real path of a file or folder of that name in this folder.

        Raises :class:`~redetail.errors.InputError` for anything that is not a plain relative name, that leads outside
        (also by a link), that is hidden, or that does not exist.
        """
        return self._existing(self.root, name)

    def model(self, name: object) -> Path:
        """The same for a file in the folder of models."""
        return self._existing(self.models, name)

    def check(self, path: Path) -> None:
        """Raise :class:`~redetail.errors.InputError` for a path in a job file that lies outside both folders."""
        real = Path(os.path.realpath(path))
        if not path.is_absolute() or not any(real.is_relative_to(allowed) for allowed in (self.root, self.models)):
            raise InputError(f"{path} is outside this page's folder; copy it into the folder.")

    def check_written(self, path: Path) -> None:
        """The same for outputs: models are only read, and only the page writes runs."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.root) or real.is_relative_to(self.state):
            raise InputError(f"{path} cannot be written from this page; give a path inside this page's folder.")

    def name(self, path: Path) -> str:
        """What :meth:`inside` reads."""
        return Path(os.path.realpath(path)).relative_to(self.root).as_posix()

    def clips(self) -> list[str]:
        """Names of the videos, the newest first."""
        return self._listed(self.root, VIDEOS)

    def pictures(self) -> list[str]:
        """Names of the pictures."""
        return self._listed(self.root, PICTURES)

    def job_files(self) -> list[str]:
        """Names of the job files."""
        return self._listed(self.root, (".toml",))

    def new_file(self, name: str) -> Path:
        """A place in the folder for a file that does not exist yet."""
        return _free(self.root, Path(name).stem, Path(name).suffix)

    def folders(self) -> list[str]:
        """Names of the folders that hold videos, results aside."""
        parents = dict.fromkeys(str(PurePosixPath(name).parent) for name in self.clips())
        return [name for name in parents if name.partition("/")[0] != RESULTS]

    def model_files(self) -> list[str]:
        """Names of the weight files, and of the folders of models in the diffusers layout."""
        files = self._listed(self.models, (*MODELS, "model_index.json"))
        whole = [str(PurePosixPath(name).parent) for name in files if name.endswith("/model_index.json")]
        parts = tuple(f"{name}/" for name in whole)
        return [*whole, *(name for name in files if not name.startswith(parts) and not name.endswith(".json"))]

    def result(self, stem: str, suffix: str, taken: Container[Path] = ()) -> Path:
        """A name for an output that no file has and no unfinished run will write (``taken``)."""
        return _free(self._made(RESULTS), stem, suffix, taken)

    def admit(self, upload: Path, given: str, largest: int, check: Callable[[Path], None]) -> Path:
        """Move an uploaded file into the folder of uploads and return its path.

        ``given``: the name that the browser gave it; ``check`` raises for a file that is not what it should be. Raises
        :class:`~redetail.errors.InputError` for one of more than ``largest`` bytes or of another kind.
        """
        name = safe_name(given)
        suffix = Path(name).suffix.lower()
        if suffix not in (*VIDEOS, *PICTURES):
            raise InputError(
                f"{name} is not a video or a picture; upload a file that ends in one of: "
                f"{', '.join((*VIDEOS, *PICTURES))}."
            )
        if upload.is_symlink() or not upload.is_file():
            raise InputError(f"{name} did not arrive as a file; upload it again.")
        size = upload.stat().st_size
        if size > largest:
            raise InputError(
                f"{name} is {size / 2**20:.0f} MiB, but an upload can be at most {largest / 2**20:.0f} MiB; copy the "
                "file into this page's folder instead."
            )
        check(upload)
        place = _free(self._made(UPLOADS), Path(name).stem, suffix)
        try:
            place.touch(exist_ok=False)
            shutil.copyfile(upload, place)
        except OSError as error:
            place.unlink(missing_ok=True)
            raise cannot_write(place, error) from error
        return place

    def _made(self, name: str) -> Path:
        folder = self.root / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        if Path(os.path.realpath(folder)) != folder:
            raise InputError(f"{folder} is a link; replace it with a folder.")
        return folder

    def _existing(self, root: Path, name: object) -> Path:
        if not isinstance(name, str) or not _is_plain(name):
            raise InputError(
                f"{shown(name)} is not the name of a file in this page's folder; choose one from the list."
            )
        real = Path(os.path.realpath(root / name))
        if not real.is_relative_to(root) or not os.path.exists(real):
            raise InputError(f"There is no file {shown(name)} in this page's folder; choose one from the list.")
        return real

    def _listed(self, root: Path, suffixes: tuple[str, ...]) -> list[str]:
        found = [path for path in _walked(root, _DEEPEST) if path.name.lower().endswith(suffixes)]
        inside = [path for path in found if Path(os.path.realpath(path)).is_relative_to(root)]
        newest = sorted(inside, key=lambda path: (-path.stat().st_mtime, path.name))
        return [path.relative_to(root).as_posix() for path in newest[:MOST]]


def safe_name(given: str) -> str:
    """The last part of a name, of characters that every file system takes."""
    last = PureWindowsPath(given).name  # the part after any slash or backslash
    plain = re.sub(r"[^\w.() -]", "_", last).strip(" .")[-100:]
    return f"_{plain}" if not plain or plain.startswith(".") or _RESERVED.fullmatch(plain) else plain


def media_type(path: Path) -> str:
    """The MIME type under which a video or a picture is sent; raises :class:`~redetail.errors.InputError` for any
    other file."""
    suffix = path.suffix.lower()
    if suffix not in (*VIDEOS, *PICTURES) or not path.is_file():
        raise InputError(f"{path.name} is neither a video nor a picture; upload a video or a picture.")
    kind = mimetypes.types_map.get(suffix, "")
    return kind if kind.startswith(("video/", "image/")) else "application/octet-stream"


def check_readable(path: Path) -> None:
    """Raise :class:`~redetail.errors.InputError` for a file whose first frame the reader of clips cannot decode, or not
    in :data:`PATIENCE` seconds."""
    answers: list[Exception | None] = []
    reader = threading.Thread(target=lambda: answers.append(_fault(path)), name="upload", daemon=True)
    reader.start()
    reader.join(PATIENCE)
    if not answers:
        raise InputError(
            f"The first frame could not be read within {PATIENCE:g} seconds; convert the clip, then upload it again."
        )
    if answers[0] is not None:
        raise answers[0]


def _fault(path: Path) -> Exception | None:
    """The error that keeps the first frame of a file from being read: returned, since this runs on a thread."""
    from redetail.video import open_source

    try:
        next(iter(open_source(path).frames(0, 1)))
    except StopIteration:
        return InputError("The file contains no picture; upload a video or a picture.")
    except RedetailError as error:
        return InputError(str(error).replace(str(path), "The file"))
    except Exception as error:  # noqa: BLE001 - a bug, which is raised where it is seen
        return error
    return None


def _is_plain(name: str) -> bool:
    """Whether a name is relative, and neither hidden nor steps upwards, on every system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    parts = {*posix.parts, *windows.parts}
    rooted = posix.is_absolute() or windows.drive or windows.root or name.startswith("~")
    usable = bool(name) and "\0" not in name and is_text(name)
    return usable and not rooted and not any(part.startswith(".") for part in parts)


def _walked(folder: Path, depth: int) -> Iterator[Path]:
    """Files below a folder, without hidden ones, links to folders, and files that lie too deep."""
    for visited, (path, names, files) in enumerate(os.walk(folder)):
        here = Path(path)
        deep = len(here.relative_to(folder).parts) >= depth or visited >= _VISITED
        names[:] = [] if deep else sorted(name for name in names if not name.startswith("."))
        yield from (here / name for name in files if not name.startswith(".") and (here / name).is_file())


def _free(folder: Path, stem: str, suffix: str, taken: Container[Path] = ()) -> Path:
    for number in range(1, 10_000):
        place = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
        if place not in taken and not place.exists() and not place.is_symlink():
            return place
    raise InputError(f"The folder {folder} has thousands of files whose names start with {stem}; remove some.")
