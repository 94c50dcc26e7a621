"""``open_weights``: opens a weight file and names its tensors without reading them.

There are three formats. A .safetensors file has a header with the name, shape and position of every tensor, and a .gguf
file (with quantised weights) has fields and a list. A .ckpt, .pt, .pth or .bin file is a pickle, which is a program: it
is only read by PyTorch's restricted reader (``weights_only=True``), which can assemble tensors and refuses to run
anything else. The contents decide, not the suffix.

Tensors are mapped from disk, so a file larger than the memory can be identified, and a tensor that is used as it is
takes no memory itself. The mapping is private, so changes to a tensor never reach the file.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from redetail.documents import shown, text
from redetail.engines.config import Schema, check_keys, parsed, several, whole
from redetail.engines.quantized import Fp8Tensor, GgufTensors, beside, scaled, scales_of
from redetail.errors import ModelError
from redetail.files import expanded

_AGAIN = "copy or download it again"
# Keys under which programs store the tensors of a checkpoint, in the order in which they are tried.
_WRAPPERS = ("state_dict", "params_ema", "params", "module", "model")
_DATA_PARALLEL = "module."
# The largest published headers take 3 MB; in memory, JSON takes ten times its length.
_LONGEST_HEADER = 8_000_000
FP8 = ("F8_E4M3", "F8_E5M2")
"""The names of the 8-bit precisions in which weights are kept, as safetensors writes them."""
_GGUF, _ZIP, _PICKLE, _LFS = b"GGUF", b"PK\x03\x04", b"\x80", b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What is known about a tensor without reading it; ``dtype`` is written as in safetensors ("F16", "BF16",
    "F32")."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numbers(self) -> int:
        """The number of values in the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A weight file: ``tensors`` by name, and what its makers wrote next to them."""

    path: Path
    tensors: Mapping[str, TensorFacts]
    metadata: Mapping[str, str] = field(default_factory=dict)
    _loaded: Mapping[str, Tensor] | None = None
    _scales: Mapping[str, str] = field(default_factory=dict)

    def read(self, names: Iterator[str] | list[str] | None = None) -> dict[str, Tensor]:
        """The tensors with these names (None: all), mapped from disk; a missing name raises ``KeyError``."""
        tensor = self.reader()
        return {name: tensor(name) for name in (self.tensors if names is None else names)}

    def reader(self) -> Callable[[str], Tensor]:
        """Reads a tensor of this file, which is opened once and stays open as long as the reader lives. Quantised
        weights come in float32."""
        raw = self.raw_reader()
        if not self._scales:
            return raw

        def read(name: str) -> Tensor:
            return raw(name) if name not in self._scales else self.stored(name, raw).converted()

        return read

    def stored(self, name: str, raw: Callable[[str], Tensor]) -> Fp8Tensor:
        """A quantised weight with its scale, read by :meth:`raw_reader`."""
        scale = self._scales.get(name)
        return Fp8Tensor(raw(name), None) if scale is None else scaled(raw(name), raw(scale), f"{self.path}")

    def raw_reader(self) -> Callable[[str], Tensor]:
        """Reads a tensor as it is stored."""
        if self._loaded is not None:
            return self._loaded.__getitem__
        read: Callable[[str], Tensor] = safe_open(self.path, framework="pt").get_tensor
        return read

    def view(self, names: Mapping[str, str]) -> TensorView:
        """The tensors of this file under other names, each read when it is requested; ``names`` maps new names to the
        file's."""
        return TensorView(self, {new: own for own, new in names.items()})

    def below(self, prefix: str) -> dict[str, str]:
        """The names of the tensors that begin with a prefix, by the part that follows it."""
        return {name.removeprefix(prefix): name for name in self.tensors if name.startswith(prefix)}

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; () if there is none of that name."""
        facts = self.tensors.get(name)
        return () if facts is None else facts.shape


class TensorView(Mapping[str, Tensor]):
    """See :meth:`WeightFile.view`; the file is opened once."""

    def __init__(self, file: WeightFile, names: Mapping[str, str]) -> None:
        self._file, self._names = file, names

    @cached_property
    def _tensor(self) -> Callable[[str], Tensor]:
        return self._file.reader()

    @cached_property
    def _raw(self) -> Callable[[str], Tensor]:
        return self._file.raw_reader()

    def __getitem__(self, name: str) -> Tensor:
        return self._tensor(self._names[name])

    def fp8(self, name: str) -> Fp8Tensor | None:
        """A weight as it is stored if that is fp8, else None, without reading it."""
        own = self._names[name]
        if self._file.tensors[own].dtype not in FP8:
            return None
        return self._file.stored(own, self._raw)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def open_weights(path: str | Path) -> WeightFile:
    """Open a weight file of any format.

    Raises :class:`~redetail.errors.ModelError` with a message of one sentence for a file that is missing, empty,
    truncated or text, for an archive without a checkpoint, and for a pickle with anything but tensors in it, which
    never runs.
    """
    path = expanded(path)
    start, size = _start(path)
    header = int.from_bytes(start[:8], "little")  # first, since a length can look like a pickle
    if size >= 8 and header <= _LONGEST_HEADER and start[8:9] == b"{":
        return _open_safetensors(path, header, size)
    if start.startswith(_GGUF):
        loaded = GgufTensors(path)
        return WeightFile(
            path, {name: TensorFacts(shape, loaded.types[name]) for name, shape in loaded.shapes.items()}, {}, loaded
        )
    if start.startswith(_ZIP):
        return _open_zip(path)
    if start.startswith(_PICKLE):
        return _from_pickle(path, mapped=False)
    raise ModelError(_no_weights(path, start))


def _start(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file and its size."""
    if not os.path.exists(path):
        raise ModelError(f"There is no weight file {path}; give a .safetensors or .ckpt file on this machine.")
    if os.path.isdir(path):
        raise ModelError(f"{path} is a folder, not a weight file; give a .safetensors or .ckpt file.")
    if not os.path.isfile(path):  # a pipe or a device can be endless
        raise ModelError(f"{path} is not a file on disk; give a .safetensors or .ckpt file.")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise ModelError(f"The weight file {path} cannot be read ({error.strerror}); check its permissions.") from error
    if not start:
        raise ModelError(f"The weight file {path} is empty; {_AGAIN}.")
    return start, path.stat().st_size


def _no_weights(path: Path, start: bytes) -> str:
    if start.startswith(_LFS):
        return f"{path} is only a Git LFS pointer; download the file itself with: git lfs pull"
    try:
        text = start.decode("utf-8", "strict" if len(start) < 512 else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable() or all(letter.isprintable() or letter.isspace() for letter in text):
        page = text.lstrip().lower().startswith(("<!doctype", "<html"))
        what = "a web page (did the download ask you to log in?)" if page else "a text file"
        return f"{path} is {what}, not a weight file; give a .safetensors or .ckpt file."
    return f"{path} is not a weight file (.safetensors, .gguf or a PyTorch checkpoint); {_AGAIN}, or give another file."


# --- safetensors


def _open_safetensors(path: Path, length: int, size: int) -> WeightFile:
    """Only the header is read; the end of the last tensor must be the end of the file."""
    if size < 8 + length:
        raise ModelError(
            f"The weight file {path} is truncated: its header takes {8 + length:,} bytes, but the file has only "
            f"{size:,}; {_AGAIN}."
        )
    with path.open("rb") as file:
        file.seek(8)
        entries = _header(path, file.read(length))
    metadata = entries.pop("__metadata__", {})
    tensors = {name: _tensor_facts(path, name, entry) for name, entry in entries.items()}
    end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if size < end:
        raise ModelError(f"The weight file {path} is truncated: it has only {size:,} of {end:,} bytes; {_AGAIN}.")
    try:
        with safe_open(path, framework="pt") as file:
            scales = scales_of(path, tensors, file.get_tensor)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The weight file {path} is damaged ({error}); {_AGAIN}.") from error
    if scales:
        tensors = {name: facts for name, facts in tensors.items() if not beside(name)}
    return WeightFile(path, tensors, metadata if isinstance(metadata, dict) else {}, None, scales)


def _header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        return parsed(raw, "its header")
    except ModelError as error:
        raise ModelError(f"The weight file {path} is damaged: {error}") from error


_ENTRY: Schema = {
    "dtype": text,
    "shape": several(whole(0, 2**48), 16),
    "data_offsets": several(whole(0, 2**60), 2, 2),
}


def _tensor_facts(path: Path, name: str, entry: Any) -> TensorFacts:
    """What a header says about one tensor."""
    if not isinstance(entry, dict) or not _ENTRY.keys() <= entry.keys():
        raise ModelError(f"The weight file {path} is damaged: its header does not describe {shown(name)}; {_AGAIN}.")
    check_keys(entry, _ENTRY, f"the entry for {shown(name)} in the header of {path}")
    return TensorFacts(tuple(entry["shape"]), entry["dtype"])


# --- pickles


def _open_zip(path: Path) -> WeightFile:
    """PyTorch's own format since 1.6: a zip archive of a pickle and the bytes of every tensor."""
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"The weight file {path} is truncated or damaged: the end of its archive is missing; {_AGAIN}."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"The weight file {path} is damaged ({error}); {_AGAIN}.") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelError(
            f"{path} is a compressed archive, but PyTorch does not compress its checkpoints; unpack it, and use the "
            "weight file inside."
        )
    if not any(entry.filename.endswith("data.pkl") for entry in entries):
        raise ModelError(
            f"{path} is a zip archive, but not a PyTorch checkpoint; unpack it, and use the weight file inside."
        )
    return _from_pickle(path, mapped=True)


def _from_pickle(path: Path, *, mapped: bool) -> WeightFile:
    """Every tensor that a pickle holds; PyTorch's format before 1.6 cannot be mapped."""
    try:
        content = _unpickled(path, mapped)
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path, str(error))) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, TypeError, IndexError, AttributeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"The weight file {path} is truncated or damaged ({first}); {_AGAIN}.") from error
    tensors = _tensors(content)
    facts = {name: TensorFacts(tuple(tensor.shape), _dtype_name(tensor.dtype)) for name, tensor in tensors.items()}
    return WeightFile(path, facts, {}, tensors)


def _unpickled(path: Path, mapped: bool) -> Any:
    """Read through an open file if the suffix is wrong, since PyTorch would trust the name ".safetensors"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of pickles of another protocol, which it reads or refuses
        if path.suffix != ".safetensors":
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)


def _refusal(path: Path, message: str) -> str:
    """The message with the function that a pickle asked for, which PyTorch's reader names and did not call."""
    asked = re.search(r"GLOBAL\s+([\w.]+)", message)
    if asked is None:
        return f"The weight file {path} is damaged or is not a pickle of tensors (none of its code was run); {_AGAIN}."
    return (
        f"The weight file {path} is a pickle that tries to run {asked[1].rstrip('.')} instead of only holding tensors; "
        "none of its code was run. Use the .safetensors file of the same model."
    )


def _tensors(content: Any) -> dict[str, Tensor]:
    """The tensors of an unpickled object by name, from the wrapper that holds them or from nested dictionaries."""
    if isinstance(content, Tensor):
        return {"": content}
    if not isinstance(content, Mapping):
        return {}
    inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
    found = dict(_flat(content if inner is None else inner))
    if found and all(name.startswith(_DATA_PARALLEL) for name in found):
        found = {name.removeprefix(_DATA_PARALLEL): tensor for name, tensor in found.items()}
    return found


def _flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")


def _dtype_name(dtype: torch.dtype) -> str:
    """The name of a precision as safetensors writes it."""
    name = str(dtype).removeprefix("torch.")
    for long, short in (("bfloat", "BF"), ("float", "F"), ("uint", "U"), ("int", "I")):
        if name.startswith(long):
            return short + name.removeprefix(long).removesuffix("fn").upper()
    return name.upper()
