"""Drives of steps that a test makes itself."""

import itertools

import torch

from explorer.catalogue import rules
from explorer.engine.build import build
from explorer.engine.driver import Drive
from explorer.engine.run import finish
from explorer.engine.spec import Choice, RunSpec
from explorer.engine.stops import compile_stop, largest_step, used
from explorer.solvers.steps import Step

N = 8


def spec(**fields):
    return RunSpec(**{"problem": {"name": "blocks", "params": {"size": N}}, "operator": "identity", **fields})


def drive(steps, stop=None, draws=None, rule=None, cancelled=None, **record):
    """Drive an iterator of steps, as a solver would give them."""
    chosen = spec(draws=draws, stop=stop or Choice("budget", steps=50), rule=rule or "fixed", record=record)
    problem = build(chosen)
    problem.offers["data_norm"] = torch.ones_like(problem.offers["data_norm"])
    problem.offers["noise_norm"] = torch.full_like(problem.offers["noise_norm"], 0.5)
    choice = chosen.stop.as_dict()
    picker = None if rule is None else (rules[rule], chosen.rule.params)
    made = Drive(
        problem,
        lambda: steps,
        compile_stop(choice),
        largest_step(choice),
        used=lambda progress: used(choice, progress),
        rule=picker,
        record=chosen.record,
        batch=problem.batch,
        cancelled=cancelled,
    )
    return chosen, made


def driven(steps, **options):
    chosen, made = drive(steps, **options)
    snapshots = [s.step for s in made]
    result = finish(chosen, made)
    assert snapshots == list(range(1, len(snapshots) + 1))
    return result


def falling(*residuals, batch=()):
    """Steps whose iterate k is full of k, in place, with given residuals; the last one goes on for ever."""
    x = torch.zeros(*batch, N)
    for k in itertools.count(1):
        x.fill_(k)
        value = residuals[min(k, len(residuals)) - 1]
        yield Step(x, residual=torch.as_tensor(value, dtype=torch.float32).expand(batch))


RELATIVE = Choice("relative_residual", tolerance=0.1)
