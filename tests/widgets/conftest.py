"""Explorers without a page, closed after the test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from explorer.widgets.explorer import Explorer
from tests.widgets.page import SMALL


@pytest.fixture
def make() -> Iterator[Callable[..., Explorer]]:
    """Make Explorers of a small signal, unless other choices are given."""
    made: list[Explorer] = []

    def explorer(*spec: Any, **choices: Any) -> Explorer:
        made.append(Explorer(*spec, **({} if spec else SMALL) | choices))
        return made[-1]

    yield explorer
    for widget in made:
        widget.close()
        assert widget.wait(60)
