"""A fixture for tests of training code: `parameter_budget(model, max_params="7B")`. Found by pytest through its entry point.

pytest imports this at every start, in projects that never ask for it, so nothing is imported here before a test does.
"""

from __future__ import annotations

from typing import Any, Protocol

import pytest


class ParameterBudget(Protocol):
    """What the fixture is: `paramcalc.assert_budget`."""

    def __call__(self, model: Any, **limits: Any) -> Any: ...


@pytest.fixture(scope="session")
def parameter_budget() -> ParameterBudget:
    """Hold a model or a live module to limits: parameter_budget(model, max_params="7B", max_trainable="20M").

    A breach fails the test with each limit, its value, the excess and the largest part.
    """

    def hold(model: Any, **limits: Any) -> Any:
        __tracebackhide__ = True
        from paramcalc.api import assert_budget

        return assert_budget(model, **limits)

    return hold
