"""A person's own matrix: what is read, what is refused, and that it is solved like any other problem."""

import io

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

import explorer as ex
from explorer.problems import files
from tests.support import assert_close

RNG = np.random.default_rng(0)
PLAIN = scipy.sparse.random_array((9, 6), density=0.4, rng=RNG)
LAPLACIAN = scipy.sparse.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(12, 12)).tocsr()
HERMITIAN = LAPLACIAN + 0.5j * scipy.sparse.diags_array([1.0, -1.0], offsets=[-1, 1], shape=(12, 12))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLORER_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def mtx(matrix, **options):
    buffer = io.BytesIO()
    scipy.io.mmwrite(buffer, matrix, **options)
    return buffer.getvalue()


def spec(data, **fields):
    params = {"file": ex.add_file(data, "mine.mtx"), **fields.pop("params", {})}
    none = {"name": "gaussian", "params": {"level": 0.0}}
    given = {"noise": none, "operator": None, "dtype": "float64", **fields}
    return ex.RunSpec(problem={"name": "own_matrix", "params": params}, **given)


@pytest.mark.parametrize(
    ("matrix", "symmetry"), [(PLAIN, None), (PLAIN.toarray(), None), (LAPLACIAN, "symmetric"), (HERMITIAN, "hermitian")]
)
def test_a_matrix_is_read_as_scipy_wrote_it(matrix, symmetry):
    problem = ex.build(spec(mtx(matrix, symmetry=symmetry)))
    dense = torch.from_numpy(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
    assert_close(problem.A.to_dense(), dense, 1)
    assert problem.A.self_adjoint == (symmetry is not None)
    assert not problem.A.positive
    assert_close(problem.y, dense.sum(1), 8)
    assert ex.build(spec(mtx(matrix)).replace(device="meta")).y.shape == problem.y.shape


def test_a_system_of_ones_own_is_solved():
    positive = {"positive": True}
    run = ex.run(spec(mtx(LAPLACIAN, symmetry="symmetric"), solver="conjugate_gradient", params=positive))
    assert float(run.history["error"].min()) < 1e-12
    run = ex.run(spec(mtx(PLAIN), solver="lsqr", params={"solution": "random"}))
    assert float(run.history["error"].min()) < 1e-10


def test_noise_is_added_to_the_data_of_the_problems_own_operator():
    problem = ex.build(spec(mtx(PLAIN), noise={"name": "gaussian", "params": {"level": 0.1}}, draws=3))
    assert problem.y.shape == (3, 9)
    assert 0.02 < float((problem.y - problem.clean).norm() / problem.clean.norm()) < 1


HEAD = b"%%MatrixMarket matrix coordinate real general\n"
REFUSED = {
    "nothing but its first words": (b"%%MatrixMarket", "damaged"),
    "a huge declaration": (HEAD + b"1000 1000 60000000\n1 1 1.0\n", "ends before its last entry"),
    "too many rows": (HEAD + b"900000000 5 1\n1 1 1.0\n", "declares 900,000,000 × 5"),
    "no rows": (HEAD + b"0 5 0\n", "declares 0 × 5"),
    "an index outside": (HEAD + b"3 3 1\n4 1 1.0\n", "damaged"),
    "half a matrix": (mtx(PLAIN)[: len(mtx(PLAIN)) // 2], "damaged"),
    "a NaN": (HEAD + b"2 2 1\n1 1 nan\n", "holds NaN"),
    "words": (HEAD + b"2 2 1\n1 one 1.0\n", "damaged"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_matrix_is_refused_in_one_sentence_and_leaves_no_trace(what, folder):
    data, sentence = REFUSED[what]
    with pytest.raises(ex.SpecError) as refusal:
        ex.add_file(data, "mine.mtx")
    assert sentence in str(refusal.value)
    assert "mine.mtx" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not folder.exists()


def test_a_matrix_is_no_image_and_an_image_no_matrix():
    image = io.BytesIO()
    np.save(image, np.ones((4, 4)))
    problems = ex.catalogue.problems
    with pytest.raises(ex.SpecError, match="is a matrix, and must be an image or a signal here"):
        problems["own_file"].build(file=ex.add_file(mtx(PLAIN)))
    with pytest.raises(ex.SpecError, match=r"is NumPy, and must be a \.mtx file here"):
        ex.build(
            spec(mtx(PLAIN)).replace(problem={"name": "own_matrix", "params": {"file": ex.add_file(image.getvalue())}})
        )
    with pytest.raises(ex.SpecError, match="no file is chosen"):
        ex.build(ex.RunSpec(problem="own_matrix", operator=None))
    with pytest.raises(ex.SpecError, match="declares no symmetric"):
        ex.build(spec(mtx(PLAIN), params={"positive": True}))
    assert files.decode_matrix(mtx(PLAIN), "a")[1] is False
