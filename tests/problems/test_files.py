"""A person's own file: what is read, what is refused, and that a refused file leaves no trace."""

import contextlib
import hashlib
import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import explorer as ex
from explorer.engine.build import build
from explorer.problems import files

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 20), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 20, 3), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def picture(array, kind, **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_header(text):
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def own(data, **params):
    return ex.catalogue.problems["own_file"].build(file=ex.add_file(data), **params).x


# --- what is read ---


@pytest.mark.parametrize(
    ("data", "expected", "tolerance"),
    [
        (picture(GREY, "PNG"), GREY / 255, 0),
        (picture(GREY, "TIFF", compression="tiff_lzw"), GREY / 255, 0),
        (picture(GREY, "JPEG", quality=100), GREY / 255, 2 / 255),
        (picture(GREY.astype(np.uint16) * 257, "PNG"), GREY / 255, 0),
        (picture(GREY.astype(np.int32) * 7, "TIFF"), (GREY - GREY.min()) / np.ptp(GREY), 1e-15),
        (picture(GREY.astype(np.float32) * 7 - 1, "TIFF"), GREY * 7.0 - 1, 0),
        (picture(GREY > 99, "PNG"), GREY > 99, 0),
        (picture(COLOUR, "PNG"), COLOUR @ [0.299, 0.587, 0.114] / 255, 1 / 255),
        (picture(Image.fromarray(COLOUR).convert("RGBA"), "PNG"), COLOUR @ [0.299, 0.587, 0.114] / 255, 1 / 255),
        (picture(Image.fromarray(GREY).convert("P"), "PNG", transparency=bytes(8)), GREY / 255, 0),
        (npy(GREY), GREY / 255, 0),
        (npy(np.asfortranarray(GREY)), GREY / 255, 0),
        (npy(COLOUR), COLOUR @ [0.299, 0.587, 0.114] / 255, 1e-15),
        (npy(GREY.astype(">i8")), (GREY - GREY.min()) / np.ptp(GREY), 1e-15),
        (npy(GREY > 99), GREY > 99, 0),
        (npy(np.full((4, 4), 3, np.int64)), np.zeros((4, 4)), 0),
        (npy(GREY * 3.5 - 7), GREY * 3.5 - 7, 0),
        (npy(GREY[0].astype(np.int16)), GREY[0], 0),
        (npy(GREY[0].astype(np.float16)), GREY[0], 0),
    ],
)
def test_a_file_is_read_in_grey_and_to_scale(data, expected, tolerance):
    x = own(data)
    assert x.dtype == torch.float64
    assert x.shape == expected.shape
    assert np.abs(x.numpy() - expected).max() <= tolerance


def test_a_photograph_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    assert own(picture(GREY, "PNG", exif=exif)).shape == GREY.T.shape


def test_a_path_and_its_bytes_have_the_same_hash(tmp_path, folder):
    path = tmp_path / "my photo.PNG"
    path.write_bytes(picture(GREY, "PNG"))
    key = ex.add_file(path)
    assert key == ex.add_file(str(path)) == ex.add_file(memoryview(path.read_bytes()), "my photo.PNG")
    assert key == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in folder.iterdir()] == [key]


def test_the_longest_side_is_reduced_and_a_square_cut_out():
    assert own(picture(GREY, "PNG"), size=10).shape == (6, 10)
    assert own(picture(GREY, "PNG"), square=True).shape == (12, 12)
    assert own(npy(np.arange(100.0)), size=50).shape == (50,)


def test_a_run_uses_the_file_and_its_key_covers_it():
    specs = [
        ex.RunSpec(problem={"name": "own_file", "params": {"file": ex.add_file(npy(a))}}, operator="identity")
        for a in (GREY, GREY[:, ::-1])
    ]
    problem = build(specs[0])
    assert problem.domain.shape == GREY.shape
    assert np.abs(problem.x_true.numpy() - GREY / 255).max() < 1e-6
    assert specs[0].key() != specs[1].key()


def test_without_a_setting_the_platform_says_where_data_live(monkeypatch, tmp_path):
    monkeypatch.delenv("EXPLORER_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.data_folder() == tmp_path / ".local" / "share" / "explorer"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert files.data_folder() == tmp_path / "xdg" / "explorer"


# --- what is refused ---


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was loaded",))


def zip_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(10_000_000))
    return buffer.getvalue()


def with_nan(value):
    return np.where(GREY == GREY[0, 0], value, GREY)


REFUSED = {
    "a huge PNG": (png_header(50_000, 50_000), "a.png", "declares 50,000 × 50,000 entries, and at most 67,108,864"),
    "a huge array": (
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (50000, 50000), }"),
        "a.npy",
        "50,000 ×",
    ),
    "absurd dimensions": (
        npy_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**30},), }}"),
        "a.npy",
        "000",
    ),
    "a negative shape": (
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-4, 4), }"),
        "a.npy",
        "at least",
    ),
    "an empty array": (npy(np.zeros((0, 3))), "a.npy", "must hold at least one value"),
    "a single number": (npy(np.float64(3)), "a.npy", "must hold at least one value"),
    "a declared gigabyte": (
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (8000, 8000), }"),
        "a.npy",
        "ends",
    ),
    "a stack of images": (npy(np.zeros((5, 5, 5))), "a.npy", "must be a signal, an image, or an image in colour"),
    "a pickle in an array": (npy(np.array([Bomb()]), allow_pickle=True), "a.npy", "type object, and must hold real"),
    "a pickle": (pickle.dumps(Bomb()), "a.npy", "first bytes"),
    "a pickle behind the magic": (b"\x93NUMPY\x01\x00" + pickle.dumps(Bomb()), "a.npy", "damaged"),
    "code in a header": (npy_header("__import__('os').abort()"), "a.npy", "damaged"),
    "a deep header": (npy_header("(" * 5000), "a.npy", "damaged"),
    "a record array": (npy(np.zeros(3, [("a", "f8")])), "a.npy", "must hold real numbers"),
    "complex numbers": (npy(np.ones(3) * 1j), "a.npy", "type complex128, and must hold real numbers"),
    "text": (npy(np.array(["a", "b"])), "a.npy", "must hold real numbers"),
    "a zip bomb": (zip_bomb(), "a.npz", "is not a .png, .jpg, .tif, .npy or .mtx file"),
    "a zip bomb by another name": (zip_bomb(), "a.npy", "is not a .png, .jpg, .tif, .npy or .mtx file"),
    "a GIF": (picture(GREY, "GIF"), "a.gif", "is not a .png"),
    "a PNG named JPEG": (picture(GREY, "PNG"), "a.jpg", "ends in .jpg, and its contents are PNG"),
    "nothing": (b"", "a.png", "first bytes"),
    "half a PNG": (picture(COLOUR, "PNG")[:300], "a.png", "damaged"),
    "half a JPEG": (picture(COLOUR, "JPEG")[:700], "a.jpg", "damaged"),
    "half a TIFF": (picture(COLOUR, "TIFF")[:200], "a.tif", "damaged"),
    "half an array": (npy(GREY)[:-1], "a.npy", "damaged and cannot be read as NumPy: EOF"),
    "a PNG without pixels": (png_header(20, 20)[:33], "a.png", "damaged"),
    "a NaN": (npy(with_nan(np.nan)), "a.npy", "holds NaN, infinite or overly large"),
    "an infinity in a TIFF": (picture(with_nan(np.inf).astype(np.float32), "TIFF"), "a.tif", "holds NaN"),
    "an overflow in single precision": (npy(with_nan(1e300)), "a.npy", "overly large"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_file_is_refused_in_one_sentence_and_leaves_no_trace(what, folder):
    data, name, sentence = REFUSED[what]
    with pytest.raises(ex.SpecError) as refusal:
        ex.add_file(data, name)
    assert sentence in str(refusal.value)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not folder.exists()


def test_a_huge_image_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("the image was decoded"))
    with pytest.raises(ex.SpecError, match="declares"):
        ex.add_file(png_header(50_000, 50_000))


def test_a_large_file_is_refused_by_its_size(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(files, "MAX_BYTES", 2**20)
    path = tmp_path / "a.npy"
    path.write_bytes(npy(np.zeros(2**18)))
    with pytest.raises(ex.SpecError, match=r"a\.npy is larger than 1 MiB"):
        ex.add_file(path)
    assert not folder.exists()


@pytest.mark.parametrize(
    "data", [picture(COLOUR, "PNG"), picture(COLOUR, "JPEG"), picture(COLOUR, "TIFF"), npy(COLOUR)]
)
def test_damage_is_refused_or_harmless_wherever_it_sits(data):
    """Flip and cut bytes at random: either one sentence, or a finite image of a bounded size."""
    rng = np.random.default_rng(1)
    read = []
    for _ in range(100):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(0, 256)
        with contextlib.suppress(ex.SpecError):
            read.append(files.decode(bytes(damaged[: rng.integers(len(data) // 2, len(data) + 1)]), "a file"))
    assert all(x.isfinite().all() and x.numel() <= files.MAX_ENTRIES for x in read)


def test_a_missing_path_is_refused(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ex.SpecError, match="there is no file"):
            ex.add_file(path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path / "a file"))
    with pytest.raises(ex.SpecError, match=r"cannot be kept in the data folder .* set EXPLORER_DATA"):
        ex.add_file(npy(GREY))


# --- the hash reaches nothing else ---


@pytest.mark.parametrize(
    "value", ["../secret", "/etc/hostname", "a" * 63, "A" * 64, "a" * 64 + "\n", "../" + "a" * 61, "a" * 64 + "/.."]
)
def test_what_is_not_a_hash_is_refused_by_the_specification_and_by_the_problem(value):
    with pytest.raises(ex.SpecError, match="SHA-256"):
        ex.RunSpec(problem={"name": "own_file", "params": {"file": value}})
    with pytest.raises(ex.SpecError, match="not a SHA-256 hash"):
        ex.problems.own_file(file=value)


def test_a_hash_without_a_file_names_the_remedy():
    with pytest.raises(ex.SpecError, match=r"has no file aaaaaaaaaaaa….* add it with explorer\.add_file"):
        ex.problems.own_file(file="a" * 64)
    with pytest.raises(ex.SpecError, match="no file is chosen"):
        ex.problems.own_file()


def test_a_link_out_of_the_folder_is_not_followed_to_other_contents(tmp_path, folder):
    secret = tmp_path / "secret.npy"
    secret.write_bytes(npy(GREY))
    folder.mkdir()
    (folder / ("b" * 64)).symlink_to(secret)
    with pytest.raises(ex.SpecError, match="was changed"):
        ex.problems.own_file(file="b" * 64)


def test_a_copy_that_was_changed_is_refused(folder):
    key = ex.add_file(npy(GREY))
    (folder / key).write_bytes(npy(GREY + 1))
    with pytest.raises(ex.SpecError, match="was changed: add the file again"):
        ex.problems.own_file(file=key)
