"""Spaces, product spaces, blocks, and moving them."""

import numpy as np
import pytest
import torch

from explorer.catalogue import SpecError
from explorer.linalg import Blocks, ProductSpace, Rng, Space, convert
from tests.support import assert_close, assert_same_bits, every_dtype, every_seed, normal

MIXED = ProductSpace((Space((3,), torch.float32), Space((2, 2), torch.complex64), Space((4,), torch.float64)))


@every_dtype
@every_seed
def test_inner_product_is_numpys_for_every_sample(dtype, seed):
    space = Space((4, 5), dtype)
    u, v = normal((3, 2, 4, 5), seed, dtype), normal((3, 2, 4, 5), seed + 100, dtype)
    expected = torch.tensor([[np.vdot(u[i, j].numpy(), v[i, j].numpy()) for j in range(2)] for i in range(3)])
    assert_close(space.inner(u, v), expected, 20, scale=float(space.norm(u).max() * space.norm(v).max()))
    assert_close(space.inner(u[0, 0], v[0, 0]), expected[0, 0], 20, scale=float(space.norm(u).max() ** 2))


@every_dtype
def test_inner_product_is_conjugate_linear_in_its_first_argument(dtype):
    space = Space((6,), dtype)
    u, v = normal((6,), 1, dtype), normal((6,), 2, dtype)
    c = 2 - 3j if dtype.is_complex else 2.0
    assert_close(space.inner(c * u, v), np.conj(c) * space.inner(u, v), 50)


@every_dtype
def test_norm_is_real_and_agrees_with_the_inner_product(dtype):
    space = Space((3, 4), dtype)
    u = normal((5, 3, 4), 0, dtype)
    assert not space.norm(u).is_complex()
    assert_close(space.norm(u) ** 2, space.inner(u, u).real, 20)
    assert_close(space.norm2(u), space.inner(u, u).real, 2)


def test_norm_neither_overflows_nor_underflows_within_range():
    space = Space((4,), torch.float32)
    assert torch.isfinite(space.norm(torch.full((4,), 1e18)))
    assert space.norm(torch.full((4,), 1e-18)) > 0


def test_scalar_space_has_one_entry():
    space = Space(())
    assert space.size == 1
    assert space.inner(torch.tensor([2.0, 3.0]), torch.tensor([4.0, 5.0])).tolist() == [8.0, 15.0]


def test_check_says_what_is_wrong():
    space = Space((3, 4))
    for x, part in (
        (torch.zeros(4, 3), "has shape (4, 3), and must have shape (…, 3, 4)"),
        (torch.zeros(4), "has shape (4)"),
        (torch.zeros(3, 4, dtype=torch.float64), "has dtype float64, and must have float32"),
        ("text", "is a str"),
        (Blocks([torch.zeros(3, 4)]), "is a Blocks"),
    ):
        with pytest.raises(SpecError, match="the data") as error:
            space.check(x, "the data")
        assert part in str(error.value)
    space.check(torch.zeros(7, 2, 3, 4), "the data")


def test_a_real_dtype_keeps_complex_spaces_complex():
    assert Space((2,), torch.complex128).to(dtype=torch.float32).dtype == torch.complex64
    assert Space((2,), torch.float32).to(dtype=torch.complex128).dtype == torch.float64
    assert [s.dtype for s in MIXED.to(dtype=torch.float64).spaces] == [
        torch.float64,
        torch.complex128,
        torch.float64,
    ]


def test_product_of_real_and_complex_spaces_is_a_real_vector_space():
    u, v = MIXED.random(Rng(0, "u")), MIXED.random(Rng(0, "v"))
    inner = MIXED.inner(u, v)
    assert not inner.is_complex()
    expected = sum(torch.linalg.vecdot(a.reshape(-1), b.reshape(-1)).real.double() for a, b in zip(u, v, strict=True))
    assert_close(inner.double(), expected, 2**24)  # 8 eps of float32
    assert_close(MIXED.norm2(u), MIXED.inner(u, u), 1)


def test_product_of_complex_spaces_has_a_complex_inner_product():
    space = ProductSpace((Space((3,), torch.complex64), Space((2,), torch.complex64)))
    u = space.random(Rng(0, "u"))
    assert space.inner(u, u * 1j).is_complex()
    assert_close(space.inner(u, u * 1j), 1j * space.norm2(u), 20)


def test_product_space_reduces_per_sample():
    space = ProductSpace((Space((3,)), Space((2, 2))))
    u = Blocks((normal((5, 3), 0, torch.float32), normal((5, 2, 2), 1, torch.float32)))
    assert space.batch(u) == (5,)
    for j in range(5):
        assert_close(space.norm(u)[j], space.norm(u.map(lambda b, j=j: b[j])), 4)


def test_product_space_checks_every_block():
    with pytest.raises(SpecError, match="block 1 of the start has shape"):
        ProductSpace((Space((3,)), Space((2,)))).check(Blocks((torch.zeros(3), torch.zeros(3))), "the start")
    with pytest.raises(SpecError, match="must be 3 blocks"):
        MIXED.check(Blocks((torch.zeros(3),)), "the start")


def test_blocks_have_the_arithmetic_of_vectors():
    u, v = Blocks((torch.ones(3), 2 * torch.ones(2))), Blocks((torch.full((3,), 3.0), torch.ones(2)))
    assert [b.tolist() for b in u + v] == [[4.0] * 3, [3.0] * 2]
    assert [b.tolist() for b in u - v] == [[-2.0] * 3, [1.0] * 2]
    assert [b.tolist() for b in -u] == [[-1.0] * 3, [-2.0] * 2]
    assert [b.tolist() for b in u / 2] == [[0.5] * 3, [1.0] * 2]
    for two in (2, 2.0, np.float64(2), torch.tensor(2.0)):
        assert [b.tolist() for b in two * u] == [[2.0] * 3, [4.0] * 2]
        assert [b.tolist() for b in u * two] == [[2.0] * 3, [4.0] * 2]


def test_a_tensor_times_blocks_is_a_scalar_a_sample():
    u = Blocks((torch.ones(2, 3), torch.ones(2, 4, 5, dtype=torch.complex64)))
    scaled = u * torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert scaled[0].dtype == torch.float32
    assert scaled[1].dtype == torch.complex64
    assert scaled[0][1].tolist() == [2.0] * 3
    assert (scaled[1][1] == 2).all()


def test_a_copy_of_blocks_owns_its_memory():
    u = Blocks((torch.zeros(2), torch.zeros(3)))
    copy = u.clone()
    u[0].fill_(1)
    assert copy[0].tolist() == [0.0, 0.0]


def test_blocks_go_through_torch_func():
    u = Blocks((torch.ones(2), torch.full((3,), 2.0)))
    value, back = torch.func.vjp(lambda b: (b[0] ** 2).sum() + b[1].sum(), u)
    assert float(value) == 8.0
    assert [b.tolist() for b in back(torch.ones(()))[0]] == [[2.0, 2.0], [1.0, 1.0, 1.0]]


class Thing:
    """A movable object with a buffer, a shared part and a cache."""

    _movable = True

    def __init__(self) -> None:
        self.buffer = torch.ones(2, dtype=torch.complex128)
        self.index = torch.tensor([1, 2])
        self.mask = torch.tensor([True])
        self.nested = {"a": [torch.zeros(1), (Blocks((torch.zeros(1),)),)], "s": MIXED}
        self.me = self
        self._cache_norm = torch.ones(())
        self.name = "thing"


def test_convert_returns_a_new_object_and_leaves_the_original_alone():
    old = Thing()
    new = convert(old, dtype=torch.float32)
    assert new is not old
    assert old.buffer.dtype == torch.complex128
    assert new.buffer.dtype == torch.complex64
    assert new.index is old.index
    assert new.mask.dtype == torch.bool
    assert new.nested["a"][1][0][0].dtype == torch.float32
    assert new.nested["s"].spaces[1].dtype == torch.complex64
    assert new.me is new
    assert hasattr(old, "_cache_norm")
    assert not hasattr(new, "_cache_norm")
    assert new.name == "thing"


def test_convert_keeps_shared_parts_shared():
    tensor = torch.ones(2, dtype=torch.float64)
    a, b = convert([tensor, tensor], dtype=torch.float32)
    assert a is b


def test_convert_moves_to_meta():
    new = convert(Thing(), "meta")
    assert new.buffer.device.type == new.nested["s"].device.type == "meta"


def test_random_elements_round_from_the_same_numbers():
    coarse, fine = Space((50,), torch.float32), Space((50,), torch.float64)
    assert_same_bits(coarse.random(Rng(3, "x")), fine.random(Rng(3, "x")).float())
