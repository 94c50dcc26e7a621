"""Frames from a folder of images, or from one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from redetail.errors import InputError
from redetail.files import natural_key
from redetail.video.base import RGB, Color, Frame, VideoInfo
from redetail.video.color import Decoder
from redetail.video.fingerprint import Fingerprint
from redetail.video.glimpse import Glimpse
from redetail.video.inputs import check_input
from redetail.video.orientation import orientation_of
from redetail.video.probe import decode_first, opened, picture_stream, probe
from redetail.video.timing import even_index

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".tga", ".jp2")


def images_in(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden files and other kinds are left out."""
    try:
        names = list(folder.iterdir())
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be listed ({error.strerror}); check its permissions.") from error
    images = [path for path in names if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    if not images:
        raise InputError(
            f"The folder {folder} has no images ({', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}); "
            "give a folder of frames or a video file."
        )
    return sorted(images, key=natural_key)


class FolderSource:
    """Images as frames, all of one size; satisfies ``FrameSource``. The time base is one frame.

    ``path`` is what the user gave, ``images`` are the files in order. 16-bit images keep their 16 bits.
    """

    def __init__(self, path: Path, images: Sequence[Path], rate: Fraction) -> None:
        self._images = tuple(images)
        for image in images:
            check_input(image)
        self._fingerprints = tuple(map(Fingerprint.of, images))
        first = probe(self._images[0]).info
        self._info = replace(
            first,
            rate=rate,
            time_base=1 / rate,
            frames=len(images),
            color=Color(),
            chroma="rgb",
            pixel_format="",
            siting="",
            has_audio=False,
            path=path,
        )

    @property
    def info(self) -> VideoInfo:
        """What is known about the images."""
        return self._info

    @property
    def images(self) -> tuple[Path, ...]:
        """The files, in order."""
        return self._images

    @property
    def faults(self) -> tuple[str, ...]:
        """Nothing: a damaged image is refused."""
        return ()

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Images ``start`` to ``stop`` (excluded), upright."""
        decoder = Decoder(self.info.bit_depth > 8)
        for index in self.indices(start, stop):
            self._fingerprints[index].check()
            yield Frame(index, index, self._read(self._images[index], decoder), 1)

    def glimpses(self, start: int = 0, stop: int | None = None) -> Iterator[Glimpse]:
        """The same frames, with thumbnails."""
        return map(Glimpse.of, self.frames(start, stop))

    def indices(self, start: int = 0, stop: int | None = None) -> Iterator[int]:
        """The indices of these frames."""
        yield from range(*slice(start, stop).indices(len(self._images)))

    def index_at(self, seconds: Fraction) -> int:
        """The first frame at ``seconds`` or later; the number of frames if none is."""
        return even_index(seconds, self.info.rate, self.info.frames)

    def _read(self, path: Path, decoder: Decoder) -> RGB:
        with opened(path) as container:
            frame = decode_first(container, picture_stream(container, path), path)
        orientation, _ = orientation_of(frame)
        pixels = orientation.upright(decoder(frame))
        if pixels.shape[:2] != self.info.size.shape:
            raise InputError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]} pixels, but the first image in the folder is "
                f"{self.info.size}; all images must have the same size."
            )
        return pixels


def is_still(path: Path) -> bool:
    """Whether an image file is a single picture (a PNG can be an animation)."""
    with opened(path) as container:
        return container.format.name.endswith("_pipe") or container.format.name == "image2"
