"""Every registered operator, found here by itself, does what an operator promises.

A case is an operator with one choice of its knobs on one small domain. Tolerances are multiples of eps, relative to the
norms of what is compared; random elements come as a batch of five seeds.
"""

from __future__ import annotations

import functools
import itertools
import threading

import pytest
import torch

import explorer as ex
from explorer.engine.build import build
from explorer.linalg import Blocks, ProductSpace, Rng, Space
from explorer.operators.base import ForwardModel, LinearOperator
from tests.support import SEEDS, assert_close, assert_same_bits, eps, norm

#: shapes on which an operator is tried: a signal, an image, a square one where it insists, gains and a signal
SHAPES = [(12,), (6, 9), (8, 8), ((4,), (8,))]
DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
#: most that rounding may do, in units of eps; sums here have up to some hundred terms
TOLERANCE = 64


def space(shape, dtype, device="cpu"):
    """Return a space, or a product of them for a tuple of shapes."""
    if isinstance(shape[0], tuple):
        return ProductSpace(tuple(space(s, dtype, device) for s in shape))
    return Space(shape, dtype, torch.device(device))


@functools.cache
def make(name, knobs, shape, dtype, device="cpu"):
    """Build an operator, or return the sentence with which it refuses the domain."""
    component = ex.catalogue.operators[name]
    offers = {"domain": space(shape, dtype, device), "rng": Rng(0, name)}
    try:
        return component.bind(offers, component.check(dict(knobs)))()
    except ex.SpecError as error:
        return str(error)


def variants(name):
    """Return the default knobs, and each alternative of each knob that is a choice."""
    yield ()
    for knob in ex.catalogue.operators[name].knobs.values():
        others = knob.choices if knob.type == "choice" else (True, False) if knob.type == "bool" else ()
        yield from (((knob.name, value),) for value in others if value != knob.default)


@functools.cache
def found():
    """Return (name, knobs, shape, dtype) of all that can be built."""
    every = itertools.chain.from_iterable(
        itertools.product([name], variants(name), SHAPES, DTYPES) for name in ex.catalogue.operators
    )
    built = [case for case in every if isinstance(make(*case), ForwardModel)]
    any_image = {case[:2] for case in built if case[2] == (6, 9)}
    return [case for case in built if not (case[2] == (8, 8) and case[:2] in any_image)]


def label(case):
    name, knobs, shape, dtype = case
    return "-".join([name, *(f"{k}={v}" for k, v in knobs), str(shape).replace(" ", ""), str(dtype)[6:]])


def cases(kind=LinearOperator, dtypes=DTYPES):
    """Parametrize over the operators of a kind."""
    chosen = [c for c in found() if c[3] in dtypes and isinstance(make(*c), kind)]
    return pytest.mark.parametrize("case", chosen, ids=map(label, chosen))


double = cases(dtypes=[torch.float64, torch.complex128])


def element(where, seed=0, batch=()):
    """Return a random element, or a batch of them."""
    if isinstance(where, ProductSpace):
        return Blocks(element(s, seed + 100 * i, batch) for i, s in enumerate(where.spaces))
    return Space((*batch, *where.shape), where.dtype).random(Rng(seed, "test"))


def pair(A):
    """Return x and y, a batch of one for each seed."""
    return element(A.domain, 1, (len(SEEDS),)), element(A.codomain, 2, (len(SEEDS),))


def mixed(A):
    """Whether the operator goes between real and complex, so that inner products are real parts."""
    return A.domain.is_complex != A.codomain.is_complex


def parts(x):
    return tuple(x) if isinstance(x, Blocks) else (x,)


def single(x, i):
    return x.map(lambda b: b[i]) if isinstance(x, Blocks) else x[i]


def matrix(A):
    if isinstance(A.domain, ProductSpace) or isinstance(A.codomain, ProductSpace):
        pytest.skip("acts on blocks")
    return A.to_dense()


def test_every_operator_accepts_one_of_the_domains():
    assert set(ex.catalogue.operators) == {name for name, *_ in found()}


@cases()
def test_shapes_and_dtypes_are_those_of_the_spaces(case):
    A = make(*case)
    for batch in ((), (2,), (2, 3)):
        x, y = element(A.domain, 0, batch), element(A.codomain, 1, batch)
        A.codomain.check(A(x), "the image")
        A.domain.check(A.adjoint(y), "the image")
        assert A.codomain.batch(A(x)) == A.domain.batch(A.adjoint(y)) == batch


@cases()
def test_linear(case):
    A = make(*case)
    x, u = element(A.domain, 1, (5,)), element(A.domain, 2)
    c = 2 - 0.5j if A.domain.is_complex and A.codomain.is_complex else -1.5
    assert_close(A(c * x + u), c * A(x) + A(u), TOLERANCE, scale=norm(c * A(x)) + norm(A(u)))
    y, v = element(A.codomain, 3, (5,)), element(A.codomain, 4)
    total = c * A.adjoint(y) + A.adjoint(v)
    assert_close(A.adjoint(c * y + v), total, TOLERANCE, scale=norm(c * A.adjoint(y)) + norm(A.adjoint(v)))


@cases()
def test_adjoint_in_the_dot_test(case):
    A = make(*case)
    x, y = pair(A)
    gap = A.codomain.inner(A(x), y) - A.domain.inner(x, A.adjoint(y))
    gap = gap.real if mixed(A) else gap
    assert (gap.abs() <= TOLERANCE * A.domain.eps * A.codomain.norm(A(x)) * A.codomain.norm(y)).all()


@cases()
def test_adjoint_of_adjoint_and_gram(case):
    A = make(*case)
    x, y = pair(A)
    assert A.H.H is A
    assert_close(A.H(y), A.adjoint(y), TOLERANCE if A.self_adjoint else 0)
    assert_close(A.H.adjoint(x), A(x), TOLERANCE if A.self_adjoint else 0)
    assert_close(A.gram(x), A.adjoint(A(x)), TOLERANCE)


@double
def test_derivatives_are_the_operator_and_its_adjoint(case):
    A = make(*case)
    x, y = (single(e, 0) for e in pair(A))
    assert_close(torch.func.vjp(A.forward, x)[1](y)[0], A.adjoint(y), TOLERANCE)
    assert_close(torch.func.vjp(A.adjoint, y)[1](x)[0], A(x), TOLERANCE)
    assert_close(torch.func.jvp(A.forward, (x,), (x,))[1], A(x), TOLERANCE)
    leaf = [p.clone().requires_grad_() for p in parts(x)]
    image = A(Blocks(leaf) if isinstance(x, Blocks) else leaf[0])
    torch.autograd.backward(parts(image), parts(y))
    assert_close(Blocks(p.grad for p in leaf), Blocks(parts(A.adjoint(y))), TOLERANCE)


@double
def test_vmap_is_one_more_dimension(case):
    A = make(*case)
    x, y = pair(A)
    assert_close(torch.func.vmap(A.forward)(x), A(x), TOLERANCE)
    assert_close(torch.func.vmap(A.adjoint)(y), A.adjoint(y), TOLERANCE)


@cases()
def test_the_dense_matrix_is_the_operator(case):
    A = make(*case)
    M = matrix(A)
    x, y = pair(A)
    assert M.shape == (A.codomain.size, A.domain.size)
    assert_close(x.reshape(5, -1).to(M.dtype) @ M.T, A(x).reshape(5, -1), TOLERANCE)
    back = y.reshape(5, -1) @ M.conj()
    assert_close(back if A.domain.is_complex else back.real, A.adjoint(y).reshape(5, -1), TOLERANCE)


@cases()
def test_input_is_left_alone_and_output_is_new(case):
    A = make(*case)
    for apply, x in zip((A.forward, A.adjoint), pair(A), strict=True):
        before = x.clone()
        made = apply(x)
        for p, b in zip(parts(x), parts(before), strict=True):
            assert_same_bits(p, b)
        assert not {p.data_ptr() for p in parts(made)} & {p.data_ptr() for p in parts(x)}


@cases()
def test_a_batch_is_a_loop(case):
    A = make(*case)
    for apply, x in zip((A.forward, A.adjoint), pair(A), strict=True):
        together = apply(x)
        for i in SEEDS:
            assert_close(single(together, i), apply(single(x, i)), TOLERANCE)


@cases()
def test_a_sample_does_not_feel_its_mates(case):
    A = make(*case)
    both = zip((A.forward, A.adjoint), pair(A), strict=True)
    for (apply, x), value in itertools.product(both, (0.0, float("nan"), 1e20)):
        spoiled = x.clone()
        for p in parts(spoiled):
            p[[0, 1, 3, 4]] = value
        for a, b in zip(parts(single(apply(spoiled), 2)), parts(single(apply(x), 2)), strict=True):
            assert_same_bits(a, b)


@double
def test_moving_makes_a_new_operator_and_leaves_the_old_one(case):
    A = make(*case)
    x, y = pair(A)
    before = A(x)
    B = A.to(dtype=torch.float32)
    assert B is not A
    assert A.domain.dtype == case[3]
    assert B.domain == A.domain.to(dtype=torch.float32)
    assert B.codomain == A.codomain.to(dtype=torch.float32)
    lower = lambda e: e.to(torch.complex64 if e.is_complex() else torch.float32)  # noqa: E731
    lowered = lambda e: e.map(lower) if isinstance(e, Blocks) else lower(e)  # noqa: E731
    assert_close(B(lowered(x)), A(x), TOLERANCE)
    assert_close(B.adjoint(lowered(y)), A.adjoint(y), TOLERANCE)
    assert_close(B.to(dtype=torch.float64)(x), A(x), TOLERANCE * eps(torch.float32) / eps(torch.float64))
    assert_close(A(x), before, 0)
    assert A.to(device="meta").domain.device.type == "meta"


@cases()
def test_svd_reproduces_the_operator_with_orthonormal_factors(case):
    A = make(*case)
    if not A.has_svd:
        with pytest.raises(ex.SpecError, match="singular value"):
            A.svd()
        pytest.skip("has no cheap decomposition")
    M, d = matrix(A), A.svd()
    U, V = d.U.to_dense(), d.V.to_dense()
    assert tuple(d.s.shape) == d.U.domain.shape == d.V.domain.shape
    assert not d.s.is_complex()
    assert (d.s >= 0).all()
    identity = torch.eye(d.s.numel(), dtype=U.dtype)
    assert_close(U.mH @ U, identity, TOLERANCE)
    assert_close(V.mH @ V, identity.to(V), TOLERANCE)
    assert_close((U * d.s.reshape(-1)) @ V.mH.to(U.dtype), M, TOLERANCE)
    x, y = pair(A)
    assert_close(d.U.forward(d.s * d.V.adjoint(x)), A(x), TOLERANCE)
    assert_close(d.V.forward(d.s * d.U.adjoint(y)), A.adjoint(y), TOLERANCE)


@cases()
def test_gram_svd_and_diagonal(case):
    A = make(*case)
    M = matrix(A)
    gram = M.mH @ M
    gram = gram if A.domain.is_complex else gram.real
    if (diagonal := A.gram_diagonal()) is not None:
        assert diagonal.shape == A.domain.shape
        assert not diagonal.is_complex()
        assert_close(diagonal.reshape(-1), gram.diagonal().real, TOLERANCE)
    if A.has_gram_svd:
        d = A.gram_svd()
        V = d.V.to_dense()
        assert_close((V * d.s.reshape(-1)) @ V.mH, gram, TOLERANCE)
        assert (A.H @ A).has_svd


@cases()
def test_declared_structure_holds(case):
    A = make(*case)
    M = matrix(A)
    if A.self_adjoint:
        assert A.domain == A.codomain
        assert_close(M, M.mH, TOLERANCE)
    if A.positive:
        assert A.self_adjoint
        assert torch.linalg.eigvalsh(M).min() >= -TOLERANCE * eps(M) * torch.linalg.matrix_norm(M, 2)
    if A.isometry or A.coisometry:
        gram = M.mH @ M if A.isometry else M @ M.mH
        gram = gram if A.domain.is_complex else gram.real
        assert_close(gram, torch.eye(len(gram), dtype=gram.dtype), TOLERANCE)


@cases()
def test_norm_is_the_largest_singular_value_or_a_little_less(case):
    A = make(*case)
    M = matrix(A)
    if not A.domain.is_complex and A.codomain.is_complex:
        M = torch.cat((M.real, M.imag))
    exact, found_norm = float(torch.linalg.matrix_norm(M, 2)), float(A.norm())
    rounding = TOLERANCE * eps(M) * exact
    lowest = exact - rounding if A.has_svd else 0.99 * exact
    assert lowest <= found_norm <= exact + rounding


@cases(kind=ForwardModel)
def test_on_meta_only_shapes_are_made(case):
    name, knobs, shape, dtype = case
    F, A = make(*case), make(name, knobs, shape, dtype, "meta")
    assert A.codomain == F.codomain.to("meta")
    x = F.domain.zeros((2,)).to("meta")
    assert [p.shape for p in parts(A(x))] == [p.shape for p in parts(F.codomain.zeros((2,)))]
    if isinstance(A, LinearOperator):
        back = A.adjoint(F.codomain.zeros((2,)).to("meta"))
        assert all(p.device.type == "meta" for p in parts(back))
        assert [p.shape for p in parts(back)] == [p.shape for p in parts(F.domain.zeros((2,)))]
        assert (A.self_adjoint, A.positive, A.has_svd) == (F.self_adjoint, F.positive, F.has_svd)
        assert (A.gram_diagonal() is None) == (F.gram_diagonal() is None)


@cases(kind=ForwardModel, dtypes=[torch.float64, torch.complex128])
def test_the_linearization_is_the_derivative(case):
    F = make(*case)
    x, v = 0.1 * element(F.domain, 1), element(F.domain, 2)
    value, J = F.linearize(x)
    w = element(F.codomain, 3)
    assert_close(value, F(x), TOLERANCE)
    gap = J.codomain.inner(J(v), w) - J.domain.inner(v, J.adjoint(w))
    bound = TOLERANCE * J.domain.eps * J.codomain.norm(J(v)) * J.codomain.norm(w)
    assert (gap.real if mixed(F) else gap).abs() <= bound
    step = J.domain.eps ** (1 / 3)
    slope = (F(x + step * v) - F(x - step * v)) * (0.5 / step)
    # the error of a central difference is eps^(2/3) times the third derivative
    assert_close(slope, J(v), 1e3 * eps(parts(slope)[0]) ** (-1 / 3))


@cases(kind=ForwardModel, dtypes=[torch.float32])
def test_spec_round_trip(case):
    name, knobs, *_ = case
    spec = ex.RunSpec(problem="blocks", operator={"name": name, "params": dict(knobs)})
    again = ex.RunSpec.from_json(spec.to_json())
    assert again == spec
    assert again.key() == spec.key()
    assert dict(again.operator.params).items() >= dict(knobs).items()


@double
def test_pictures_and_axes_suit_the_data(case):
    A = make(*case)
    if isinstance(A.codomain, ProductSpace):
        assert A.data_axes == ()
        return
    assert len(A.data_axes) == A.codomain.ndim
    assert all(isinstance(name, str) and isinstance(unit, str) for name, unit in A.data_axes)
    picture = A.picture(element(A.codomain))
    assert tuple(picture.shape) in {A.domain.shape, A.codomain.shape}


NUMBERS = [
    (name, ((knob.name, value),))
    for name in ex.catalogue.operators
    for knob in ex.catalogue.operators[name].knobs.values()
    if knob.type in ("float", "int")
    for value in (knob.low, knob.high)
]


@pytest.mark.parametrize(("name", "knobs"), NUMBERS, ids=lambda v: str(v))
def test_knobs_at_their_ends_keep_the_adjoint(name, knobs):
    built = [make(name, knobs, shape, torch.float64) for shape in SHAPES]
    for A in (A for A in built if isinstance(A, LinearOperator)):
        x, y = pair(A)
        gap = A.codomain.inner(A(x), y) - A.domain.inner(x, A.adjoint(y))
        gap = gap.real if mixed(A) else gap
        assert (gap.abs() <= TOLERANCE * A.domain.eps * A.codomain.norm(A(x)) * A.codomain.norm(y)).all()


@double
def test_two_threads_may_share_an_operator(case):
    name, knobs, shape, dtype = case
    A = make.__wrapped__(name, knobs, shape, dtype)  # a new one, nothing cached
    x, y = pair(A)
    expected, answers, start = make(*case), [], threading.Barrier(2)

    def work():
        start.wait()
        for _ in range(3):
            B = A.to(dtype=torch.float32)
            answers.append((A(x), A.adjoint(y), B.domain.dtype))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 6
    for forward, back, moved in answers:
        assert_close(forward, expected(x), 0)
        assert_close(back, expected.adjoint(y), 0)
        assert moved == A.domain.to(dtype=torch.float32).dtype


def test_a_built_problem_uses_the_registered_operator():
    problem = build(ex.RunSpec(problem="shepp_logan", operator={"name": "radon", "params": {"angles": 5}}))
    assert problem.A.codomain.shape[0] == 5
