"""The person's own images, signals and matrices: checked files in a data folder, named by their SHA-256 hash.

A specification holds the hash alone, never a path, so that one from a stranger can reach nothing else. Whatever a
file declares about itself is checked before anything is decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from explorer.catalogue import File, Help, Log, SpecError, problem
from explorer.problems.base import Truth
from explorer.problems.images import middle_square, resized

#: largest number of entries, and of bytes, of a file that is read
MAX_ENTRIES, MAX_BYTES = 2**26, 2**29

_ENDINGS = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "tif": "TIFF",
    "tiff": "TIFF",
    "npy": "NumPy",
    "mtx": "Matrix Market",
}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\x93NUMPY", "NumPy"),
    (b"%%MatrixMarket", "Matrix Market"),
)
_ALLOWED = "a .png, .jpg, .tif, .npy or .mtx file"


def data_folder() -> Path:
    """Return the person's data folder: ``EXPLORER_DATA``, else where the platform keeps application data."""
    if chosen := os.environ.get("EXPLORER_DATA"):
        return Path(chosen)
    home = Path.home()
    default = {"win32": home / "AppData" / "Local", "darwin": home / "Library" / "Application Support"}
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME")
    return Path(base or default.get(sys.platform, home / ".local" / "share")) / "explorer"


def add_file(path_or_bytes: str | os.PathLike[str] | bytes, name: str | None = None) -> str:
    """Check an image, a signal or a matrix and copy it into the data folder.

    Parameters
    ----------
    path_or_bytes : path or bytes
        A .png, .jpg, .tif, .npy or .mtx (Matrix Market) file, or its contents.
    name : str, optional
        Name of the file, for messages; a path brings its own. Its ending must tell the truth.

    Returns
    -------
    str
        The SHA-256 hash by which the problem ``own_file`` finds it, or ``own_matrix``.

    Raises
    ------
    SpecError
        If the file cannot be read, is of another kind, truncated, too large, or holds NaN or infinite values; the
        data folder is then as it was.
    """
    if isinstance(path_or_bytes, bytes | bytearray | memoryview):
        data, name = bytes(path_or_bytes), name or "the file"
    else:
        path = Path(path_or_bytes)
        data, name = _read(path), name or path.name
    (decode_matrix if _kind(data, name) == "Matrix Market" else decode)(data, name)
    key = hashlib.sha256(data).hexdigest()
    folder = data_folder()
    partial = folder / f"{key}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(folder / key)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise SpecError(
            f"{name} cannot be kept in the data folder {str(folder)!r} ({error.strerror}): set EXPLORER_DATA to a "
            "folder that can be written"
        ) from None
    return key


@problem("Own file")
def own_file(
    *,
    file: Annotated[str, File("an image or a signal of your own")] = "",
    size: Annotated[int, Log(8, 8192, unit="px", help="longest side; larger ones are reduced")] = 256,
    square: Annotated[bool, Help("keep only the middle square of an image")] = False,
) -> Truth:
    """An image or a signal from a file of your own, added with ``explorer.add_file``.

    Colours become grey. Integer images are scaled to 0 … 1; floating-point values and signals keep theirs.

    Raises
    ------
    SpecError
        If the data folder holds no such file.
    """
    x = decode(stored(file), f"{file[:12]}…")
    if square and x.ndim == 2:
        x = middle_square(x)
    shrink = min(1, size / max(x.shape))
    return Truth(resized(x, *(max(1, round(n * shrink)) for n in x.shape)))


def stored(file: str, field: str = "problem.params.file") -> bytes:
    """Return the bytes of the file with this hash in the data folder.

    Raises
    ------
    SpecError
        If there is none, or it was changed.
    """
    if not file:
        raise SpecError("no file is chosen: add one with explorer.add_file(path)", field)
    if not re.fullmatch("[0-9a-f]{64}", file):
        raise SpecError(f"{file[:70]!r} is not a SHA-256 hash, such as explorer.add_file(path) returns", field)
    path = data_folder() / file
    if not path.is_file():
        raise SpecError(f"your data folder has no file {file[:12]}…: add it with explorer.add_file(path)", field)
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != file:
        raise SpecError(f"the copy of {file[:12]}… in your data folder was changed: add the file again", field)
    return data


def decode(data: bytes, name: str) -> Tensor:
    """Return the image or signal that the bytes of a file hold, float64, shape ``(rows, columns)`` or ``(n,)``.

    Raises
    ------
    SpecError
        In one sentence, with the name of the file.
    """
    kind = _kind(data, name)
    if kind == "Matrix Market":
        raise SpecError(f"{name} is a matrix, and must be an image or a signal here: choose the problem 'own_matrix'")
    with _told(name, kind):
        x = _array(data, name) if kind == "NumPy" else _image(data, name, kind)
    values = torch.from_numpy(x)
    if not bool(values.to(torch.float32).isfinite().all()):
        raise SpecError(f"{name} holds NaN, infinite or overly large values (above 3e38): replace them first")
    return values


def _kind(data: bytes, name: str) -> str:
    """Return what the first bytes say, and refuse a name that says something else."""
    kind = next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)
    if kind is None:
        raise SpecError(f"{name} is not {_ALLOWED}: its first bytes say something else")
    ending = Path(name).suffix.lower().removeprefix(".")
    if _ENDINGS.get(ending, kind) != kind:
        raise SpecError(f"{name} ends in .{ending}, and its contents are {kind}: rename or convert it")
    return kind


@contextlib.contextmanager
def _told(name: str, kind: str) -> Iterator[None]:
    """Say in one sentence what a decoder has against a file."""
    try:
        yield
    except SpecError:
        raise
    except Exception as error:  # decoders of damaged or hostile files raise almost anything
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise SpecError(f"{name} is damaged and cannot be read as {kind}: {reason}") from None


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise SpecError(f"there is no file {path.name!r}: give the path of {_ALLOWED}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SpecError(f"{path.name} is larger than {MAX_BYTES // 2**20} MiB: reduce it first")
    return data


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    size = " × ".join(f"{n:,}" for n in shape)
    if not shape or min(shape) < 1:
        raise SpecError(f"{name} has shape {shape}, and must hold at least one value")
    if math.prod(shape) > MAX_ENTRIES:
        raise SpecError(f"{name} declares {size} entries, and at most {MAX_ENTRIES:,} are read: reduce it first")
    if len(shape) > 3 or (len(shape) == 3 and shape[-1] not in (3, 4)):
        raise SpecError(f"{name} is an array of {size}, and must be a signal, an image, or an image in colour")


# --- matrices -----------------------------------------------------------------------------------------------------


def decode_matrix(data: bytes, name: str) -> tuple[Any, bool]:
    """Return the matrix of a Matrix Market file, a SciPy sparse array, and whether it is declared self-adjoint.

    Raises
    ------
    SpecError
        In one sentence, with the name of the file.
    """
    from scipy.io import mminfo, mmread
    from scipy.sparse import csr_array

    if (kind := _kind(data, name)) != "Matrix Market":
        raise SpecError(f"{name} is {kind}, and must be a .mtx file here: choose the problem 'own_file'")
    with _told(name, kind):
        rows, columns, entries, _, field, symmetry = mminfo(io.BytesIO(data))
        if min(rows, columns) < 1 or max(rows, columns, entries) > MAX_ENTRIES:
            raise SpecError(
                f"{name} declares {rows:,} × {columns:,} with {entries:,} entries, and each must be from 1 to"
                f" {MAX_ENTRIES:,}"
            )
        if entries > 2 * len(data):  # an entry has two characters at least, and symmetry halves their number
            raise ValueError("it ends before its last entry")
        matrix = csr_array(mmread(io.BytesIO(data)), dtype=np.complex128 if field == "complex" else np.float64)
    if not np.isfinite(matrix.data.astype(np.complex64)).all():
        raise SpecError(f"{name} holds NaN, infinite or overly large values (above 3e38): replace them first")
    return matrix, symmetry == "hermitian" or (symmetry == "symmetric" and field != "complex")


# --- images -------------------------------------------------------------------------------------------------------


def _image(data: bytes, name: str, kind: str) -> np.ndarray:
    from PIL import ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    # The classes read the header alone; `Image.open` would refuse a huge image too, but without saying its size.
    reader: Any = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
    }[kind]
    with reader(io.BytesIO(data)) as file:
        _check_shape((file.height, file.width), name)
        file.load()
        image = ImageOps.exif_transpose(file)
    if image.mode == "F":
        return np.asarray(image, np.float64)
    if image.mode.startswith("I"):
        return _unit(np.asarray(image))
    if image.mode == "P":  # a palette may hold transparency, which only RGBA takes
        image = image.convert("RGBA")
    return _unit(np.asarray(image.convert("L")))


def _unit(image: np.ndarray) -> np.ndarray:
    """Return an integer image scaled to 0 … 1: by the range of 8 or 16 bits, else by its own."""
    values = image.astype(np.float64)
    if image.dtype.kind in "bu" and image.dtype.itemsize <= 2:
        return values / (1 if image.dtype.kind == "b" else np.iinfo(image.dtype).max)
    low, high = values.min(), values.max()
    return (values - low) / ((high - low) or 1)


# --- arrays -------------------------------------------------------------------------------------------------------


def _array(data: bytes, name: str) -> np.ndarray:
    shape, dtype = _header(data)
    if dtype.kind not in "biuf":
        raise SpecError(f"{name} holds entries of type {dtype}, and must hold real numbers")
    _check_shape(shape, name)
    if math.prod(shape) * dtype.itemsize > len(data):
        raise ValueError("it ends before its last entry")
    values = np.load(io.BytesIO(data), allow_pickle=False)
    if values.ndim == 1:
        return values.astype(np.float64)
    grey = values.astype(np.float64) if dtype.kind == "f" else _unit(values)
    return grey if grey.ndim == 2 else grey[..., :3] @ np.array([0.299, 0.587, 0.114])


def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format holds no plain array")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
