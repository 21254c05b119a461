"""What the widget offers runs: operators with solvers, priors and preconditioners that are said to fit.

The suite takes one combination for every component, drawn at random with a fixed seed; all are left to the soak.
"""

import math
import random

import pytest

import explorer as ex
from explorer.catalogue import SHELVES, SpecError, solvers
from explorer.engine.compat import compatible
from explorer.engine.run import prepare
from explorer.linalg import Rng

#: small problems, on which all defaults make sense
SIZES = {"size": 16, "cells": 16, "side": 8, "slices": 2, "frames": 3, "count": 2, "voxels": 4, "sources": 4}
LARGER = {"related_rows": {"size": 64}}
#: most operators act on one of these
COMMON = ("shepp_logan", "blocks", "head_volume")
#: operators that act on others too, but whose solvers need these
PARTNERS = {"hill_curve": "hill_parameters", "dynamic_fourier": "moving_phantom"}
#: two inner steps of a proximal map are enough to see that it runs
FEW = {"inner": 2, "rounds": 2}
TWO = {"name": "budget", "params": {"steps": 2}}
PARTS = {"operator": "operator", "solver": "solver", "prior": "prior", "precond": "preconditioner"}


def chosen(kind, name, values):
    """Return a choice with the values of those knobs that it has, as far as they allow."""
    knobs = {k: knob for k, knob in SHELVES[kind][name].knobs.items() if k in values and knob.type == "int"}
    return {"name": name, "params": {k: max(values[k], math.ceil(knob.low)) for k, knob in knobs.items()}}


def why_not(check, *arguments):
    try:
        check(*arguments)
    except SpecError as error:
        return error
    return None


def bases(names, dtype):
    """Yield a problem and an operator, every operator with the first problem that it fits; and the problems alone."""
    left = list(SHELVES["operator"])
    for name in names:
        size = chosen("problem", name, {**SIZES, **LARGER.get(name, {})})
        spec = ex.RunSpec(problem=size, operator=None, dtype=dtype, stop=TWO, record={"snapshots": 2})
        for operator in [None, *left]:
            if PARTNERS.get(operator, name) != name:
                continue
            made = spec.replace(operator=operator)
            if why_not(ex.build, made.replace(device="meta")) is None:
                yield made
                left = [other for other in left if other != operator]


def every_base():
    """Return all bases, real and complex."""
    rest = [name for name in SHELVES["problem"] if name not in COMMON]
    own = [name for name in rest if name in SHELVES["operator"]]
    real = bases([*COMMON, *own, *(name for name in rest if name not in own)], "float32")
    return [*real, *(spec for spec in bases(COMMON, "complex64") if spec.operator is not None)]


def drawn(rng, known, field, name):
    """Return a random combination with the given component that is said to fit, or None.

    `known` are pairs of a base and what its problem offers, by which most that do not fit are passed over quickly.
    """
    for spec, offers in rng.sample(known, len(known)):
        if field == "operator" and (spec.operator is None or spec.operator.name != name):
            continue
        for solver in [name] if field == "solver" else rng.sample(list(solvers), len(solvers)):
            needs = {need.name: need for need in solvers[solver].needs}
            lacking = solvers[solver].lacking(offers)
            if (field in ("prior", "precond") and field not in needs) or (
                lacking is not None and lacking[0].name not in ("prior", "precond")
            ):
                continue
            for _ in range(5):
                parts = {"solver": solver}
                for part in {"prior", "precond"} & {*needs}:
                    parts[part] = name if field == part else rng.choice(list(SHELVES[PARTS[part]]))
                made = spec.replace(**{f: n if f == "solver" else chosen(PARTS[f], n, FEW) for f, n in parts.items()})
                if why_not(prepare, made.replace(device="meta")) is None:
                    return made
    return None


def failure(spec):
    """Run two steps, and return what went wrong."""
    try:
        steps = len(ex.run(spec).history["seconds"])
    except Exception as error:
        return f"{type(error).__name__}: {error} {spec.to_json()}"
    return None if 1 <= steps <= 2 else f"{steps} steps {spec.to_json()}"


def test_one_combination_of_every_component_runs():
    rng, offers = random.Random(0), {"rng": Rng(0, "meta"), "bases": False}
    known = [(spec, {**ex.build(spec.replace(device="meta")).offers, **offers}) for spec in every_base()]
    never, failures = [], []
    for field, kind in PARTS.items():
        for name in [name for name in SHELVES[kind] if name != "none"]:
            spec = drawn(rng, known, field, name)
            if spec is None:
                never.append(name)
            elif (said := failure(spec)) is not None:
                failures.append(said)
    assert failures == []
    assert never == []


def offered(spec):
    """Yield what the widget would offer of solvers, and of priors and preconditioners around each."""
    for name, why in compatible(spec).items():
        if why is None:
            yield spec.replace(solver=name)
        for field in ("prior", "precond"):
            if field in {need.name for need in solvers[name].needs}:
                for part in SHELVES[PARTS[field]]:
                    made = spec.replace(**{"solver": name, field: chosen(PARTS[field], part, FEW)})
                    if part != "none" and why_not(prepare, made.replace(device="meta")) is None:
                        yield made


@pytest.mark.soak
def test_everything_that_is_offered_runs():
    failures = [said for spec in every_base() for made in offered(spec) if (said := failure(made)) is not None]
    assert failures == []
