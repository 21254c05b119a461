"""Runs on disk: what is written is read back, and what is not ours is refused in a sentence."""

import contextlib
import io
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError
from explorer.engine import store
from explorer.engine.build import build
from explorer.engine.reasons import Reason
from explorer.engine.run import Run, run
from explorer.engine.spec import Choice, RunSpec
from explorer.linalg import Blocks
from tests.support import assert_same_bits

SPEC = RunSpec(
    problem={"name": "blocks", "params": {"size": 16}},
    stop=Choice("discrepancy") | Choice("budget", steps=6),
    record={"keep_going": True, "snapshots": 3},
)


def same(one, two):
    if one is None or isinstance(one, Reason | dict):
        assert one == two
    elif isinstance(one, Blocks):
        for a, b in zip(one, two, strict=True):
            assert_same_bits(a, b)
    elif isinstance(one, torch.Tensor):
        assert_same_bits(one, two)
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    else:
        same(one.x, two.x)
        np.testing.assert_array_equal(one.step, two.step)


CASES = {
    "one sample": SPEC,
    "draws": SPEC.replace(draws=3),
    "a list and draws": SPEC.replace(solver=Choice("cgls", damping=[0.0, 0.1]), draws=2),
    "direct": SPEC.replace(solver="tikhonov", rule="gcv"),
    "complex": SPEC.replace(dtype="complex64", operator="identity"),
    "blocks": RunSpec(
        problem="gains_and_signal",
        operator="gain_calibration",
        solver="alternating_least_squares",
        stop=Choice("budget", steps=3),
    ),
    "samples": SPEC.replace(
        solver="unadjusted_langevin", prior="tikhonov", stop=Choice("budget", steps=20), record={"snapshots": 4}
    ),
    "no operator": RunSpec(
        problem={"name": "matrix_inverse", "params": {"size": 8}},
        operator=None,
        solver="newton_schulz",
        stop=Choice("budget", steps=5),
    ),
}


@pytest.mark.parametrize("spec", CASES.values(), ids=CASES)
def test_a_run_is_read_back_as_it_was_written(spec, tmp_path):
    made = run(spec)
    made.save(tmp_path / "deep" / "folder")
    again = Run.load(tmp_path / "deep" / "folder")
    assert again.spec == made.spec
    assert (again.costs, again.watching) == (made.costs, made.watching)
    for name in ("x", "stopped", "best", "reason", "samples", "variance", "r_hat"):
        same(getattr(made, name), getattr(again, name))
    assert set(again.history) == set(made.history)
    for name in made.history:
        same(made.history[name], again.history[name])
    assert len(again.snapshots) == len(made.snapshots)
    for one, two in zip(made.snapshots, again.snapshots, strict=True):
        same(one, two)
    for name, value in made.metrics.items():
        np.testing.assert_array_equal(value, again.metrics[name])
    assert repr(again) == repr(made)


def test_the_files_are_json_and_plain_arrays(tmp_path):
    made = run(SPEC)
    made.save(tmp_path)
    assert RunSpec.from_json((tmp_path / "spec.json").read_text(encoding="utf-8")) == SPEC
    about = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert about["key"] == SPEC.key()
    assert about["costs"] == made.costs
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "run.json", "spec.json"]


def test_bases_survive(tmp_path):
    made = run(SPEC)
    made.arrays = [{"H": torch.eye(2)}, {"H": torch.ones(3, 3), "V": torch.zeros(2, 3)}]
    made.save(tmp_path)
    again = Run.load(tmp_path).arrays
    assert [sorted(a) for a in again] == [["H"], ["H", "V"]]
    assert_same_bits(again[1]["H"], made.arrays[1]["H"])


def test_a_run_without_an_answer_is_saved_too(tmp_path):
    made = run(SPEC)
    made.x = made.stopped = made.best = None
    made.__dict__.pop("metrics", None)
    made.save(tmp_path)
    assert Run.load(tmp_path).x is None


def test_a_run_of_an_absent_device_is_read_onto_the_cpu(tmp_path):
    made = run(SPEC)
    made.save(tmp_path)
    elsewhere = SPEC.replace(device="cuda:42")
    (tmp_path / "spec.json").write_text(elsewhere.to_json(), encoding="utf-8")
    again = Run.load(tmp_path)
    assert again.spec == elsewhere
    assert again.x.device.type == again.y.device.type == "cpu"
    assert again.metrics == made.metrics


# --- hostile folders ---


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "run"
    run(SPEC).save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def refused(folder):
    with pytest.raises(SpecError) as caught:
        Run.load(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def rewrite(folder, **changes):
    with np.load(folder / "arrays.npz") as file:
        arrays = {**dict(file), **{name.replace("_SLASH_", "/"): value for name, value in changes.items()}}
    np.savez(folder / "arrays.npz", **{name: value for name, value in arrays.items() if value is not None})


@pytest.mark.parametrize("name", ["spec.json", "run.json", "arrays.npz"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert f"has no {name}" in refused(folder)


@pytest.mark.parametrize("name", ["spec.json", "run.json", "arrays.npz"])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder, name, part):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * part)])
    refused(folder)


@pytest.mark.parametrize("name", ["spec.json", "run.json", "arrays.npz"])
@pytest.mark.parametrize("content", [b"\x80\x04N.", b"\xff\xfe\x00", b"[" * 100_000, b"null", b"[]", b'{"costs": 3}'])
def test_a_file_of_something_else_is_refused(folder, name, content):
    (folder / name).write_bytes(content)
    refused(folder)


def test_every_corrupted_byte_of_the_arrays_is_refused_or_harmless(folder):
    content = (folder / "arrays.npz").read_bytes()
    for at in range(0, len(content), max(1, len(content) // 60)):
        (folder / "arrays.npz").write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        with contextlib.suppress(SpecError):
            Run.load(folder)


class Boom:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code of a stranger was run",))


def test_a_pickle_among_the_arrays_is_never_run(folder):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Boom()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / "arrays.npz", "a") as archive:
        archive.writestr("x2.npy", buffer.getvalue())
        archive.writestr("history/evil", pickle.dumps(Boom()))
    refused(folder)


def test_a_pickle_instead_of_the_arrays_is_never_run(folder):
    (folder / "arrays.npz").write_bytes(pickle.dumps(Boom()))
    refused(folder)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(folder, monkeypatch):
    with zipfile.ZipFile(folder / "arrays.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", b"\0" * 2**24)
    monkeypatch.setitem(store.MAX_BYTES, "arrays.npz", 2**22)
    assert "at most 4,194,304 are read" in refused(folder)


def test_an_array_that_claims_more_than_there_is_is_refused(folder):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(folder / "arrays.npz", "a") as archive:
        archive.writestr("claim.npy", header.getvalue())
    refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"x": np.zeros(15, np.float32)},
        {"x": np.zeros(16, np.complex64)},
        {"x": np.array(["text"] * 16)},
        {"x": np.zeros(16, dtype=[("a", "f4")])},
        {"reason": np.array(99)},
        {"reason": np.array("done")},
        {"reason": None},
        {"stopped_SLASH_step": np.array("three")},
    ],
    ids=str,
)
def test_arrays_of_another_kind_are_refused(folder, changes):
    rewrite(folder, **changes)
    refused(folder)


def test_a_hostile_specification_is_refused_as_anywhere(folder):
    (folder / "spec.json").write_text('{"version": 99}', encoding="utf-8")
    assert "version" in refused(folder)
    (folder / "spec.json").write_text("x" * (store.MAX_BYTES["spec.json"] + 1), encoding="utf-8")
    assert "is larger than" in refused(folder)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(SpecError, match="cannot be written"):
        run(SPEC).save(tmp_path / "file" / "folder")


def test_there_is_no_run_where_there_is_no_folder(tmp_path):
    assert "does not hold a saved run" in refused(tmp_path / "nowhere")


def test_the_problem_is_built_anew(folder):
    again = Run.load(folder)
    assert_same_bits(again.y, build(SPEC).y)
