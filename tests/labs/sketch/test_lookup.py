"""Products by look-ups: better where the trees know the weights, and still far from exact (row 55)."""

import functools
import itertools

import numpy as np
import pytest
import torch

import explorer as ex
from explorer.catalogue import problems
from explorer.labs.sketch.lookup import encode, grow
from explorer.linalg import Ledger, Rng
from tests import support


def problem(seed, **knobs):
    return problems["related_rows"].build(rng=Rng(seed, "related_rows"), **knobs).offers


@functools.cache
def errors(spread, splits, rows=300, training=1000):
    found = []
    for seed in support.SEEDS:
        offers = problem(seed, spread=spread, rows=rows, training=training)
        exact = offers["factors"][0] @ offers["factors"][1]
        x = ex.solvers.lookup_product(offers["factors"], offers["training"], splits=splits).x
        found.append(support.norm(x - exact) / support.norm(exact))
    return np.array(found)


def test_trees_that_know_the_weights_do_better_and_most_where_these_are_uneven():
    assert errors(0.0, "product").mean() <= errors(0.0, "rows").mean()
    assert (errors(1.0, "product") <= 0.85 * errors(1.0, "rows")).all()


@pytest.mark.soak
def test_the_same_for_a_thousand_rows_after_three_thousand():
    size = {"rows": 1000, "training": 3000}
    product, rows = (errors(0.0, splits, **size) for splits in ("product", "rows"))
    assert product.mean() <= rows.mean()
    assert (product <= 1.01 * rows).all()
    assert (product > 0.15).all()


def test_look_ups_beat_sampling_a_fourth_of_the_columns():
    for seed in support.SEEDS:
        left, right = problem(seed, spread=0.0, rows=300, training=1000)["factors"]
        draws = ex.solvers.sampled_product((left, right), Rng(seed, "s", 20), samples=16)
        error2 = (next(draws).x - left @ right).square().sum((-2, -1)).mean()
        assert errors(0.0, "product")[seed] <= float(error2) ** 0.5 / support.norm(left @ right) / 3


def test_they_are_not_all_you_need():
    assert (errors(0.0, "product") > 0.15).all()
    for seed in support.SEEDS:
        offers = problem(seed, spread=0.0, outputs=10, rows=300, training=1000)
        left, right = offers["factors"]
        x = ex.solvers.lookup_product((left, right), offers["training"]).x
        # ten classes: the largest output is another one for a tenth of the rows and more, after one layer
        assert ((x.argmax(1) == (left @ right).argmax(1)).double().mean()) < 0.9


@pytest.mark.parametrize("ties", [False, True])
def test_a_split_is_the_best_of_all_thresholds(ties):
    """Against every threshold of every coordinate, level by level."""
    x = support.normal((2, 40, 3), 1)
    x = x.round() if ties else x
    target = support.normal((2, 40, 2), 2)
    trees = grow(x, target, 3)
    deviation = lambda t: float((t - t.mean(0)).square().sum()) if len(t) else 0.0  # noqa: E731
    for piece in range(2):
        bucket = np.zeros(40, int)
        for level, (coordinate, thresholds) in enumerate(trees):
            costs = []
            for j in range(3):
                values, total = x[piece, :, j].numpy(), 0.0
                for node in range(2**level):
                    inside = bucket == node
                    cuts = [np.inf, *values[inside]]
                    parts = [
                        (target[piece][inside & (values <= c)], target[piece][inside & (values > c)]) for c in cuts
                    ]
                    total += min(deviation(a) + deviation(b) for a, b in parts)
                costs.append(total)
            j = int(coordinate[piece])
            bucket = 2 * bucket + (x[piece, :, j].numpy() > thresholds[piece].numpy()[bucket])
            reached = sum(deviation(target[piece][bucket == node]) for node in range(2 ** (level + 1)))
            assert reached == pytest.approx(min(costs), rel=1e-12)
        assert np.array_equal(bucket, encode(x, trees)[piece].numpy())


def test_with_a_bucket_for_every_row_the_product_is_exact():
    rows, right = support.normal((4, 8), 0), support.normal((8, 5), 1)
    left = rows[torch.arange(50) % 4]
    solution = ex.solvers.lookup_product((left, right), rows, pieces=1, depth=3, ridge=1e-6)
    # the ridge shrinks each entry, which one row determines, by a factor of 1 + 1e-6
    support.assert_close(solution.x * (1 + 1e-6), left @ right, 64)
    assert solution.scalars["training_error"] == pytest.approx(1e-6, rel=1e-3)


def test_the_tables_are_ridge_regression():
    offers = problem(0, rows=20, training=60, size=6, outputs=3)
    left, right = offers["factors"]
    rows = offers["training"]
    x = ex.solvers.lookup_product((left, right), rows, pieces=2, depth=2, splits="rows", ridge=0.5).x
    cut = lambda z: torch.stack((z[:, :3], z[:, 3:]))  # noqa: E731
    trees = grow(cut(rows), cut(rows), 2)
    one_hot = lambda z: torch.nn.functional.one_hot(encode(cut(z), trees), 4).double().movedim(0, 1).flatten(1)  # noqa: E731
    E = one_hot(rows)
    augmented = torch.cat((E, 0.5**0.5 * torch.eye(8, dtype=E.dtype)))
    table = torch.linalg.lstsq(augmented, torch.cat((rows @ right, torch.zeros(8, 3, dtype=E.dtype)))).solution
    support.assert_close(x, one_hot(left) @ table, 1000)


def test_scaling_scales_and_look_ups_are_counted():
    offers = problem(0, rows=20, training=60)
    left, right = offers["factors"]
    ledger = Ledger()
    with ledger.open():
        x = ex.solvers.lookup_product((left, right), offers["training"]).x
    assert ledger.costs == {"look-ups": 16 * 20}
    for a, b in itertools.product((1.0, 2.0**20), (1.0, 2.0**-20)):
        scaled = ex.solvers.lookup_product((a * left, b * right), a * offers["training"]).x
        support.assert_same_bits(scaled, a * b * x)


def test_a_run_of_it_and_what_is_refused():
    spec = ex.RunSpec(problem="related_rows", operator=None, solver="lookup_product")
    assert 0.1 < ex.run(spec).history["error"][-1] < 0.4
    with pytest.raises(ex.SpecError, match="must divide the length of a row, 64"):
        ex.run(spec.replace(solver={"name": "lookup_product", "params": {"pieces": 7}}))
    assert "further rows" in ex.compatible(ex.RunSpec(problem="matrix_product", operator=None))["lookup_product"]
