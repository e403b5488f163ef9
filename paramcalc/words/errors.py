"""Everything that paramcalc refuses, and the exit code it is refused with.

ParamcalcError
├── BudgetError                1   a budget is breached; an AssertionError too, for tests
├── UsageError                 2   the call is wrong
├── InputError                 3   a spec, config or weight file is wrong
├── SourceError                4   not found, or the network refused
└── UnknownArchitectureError   5   an architecture that paramcalc does not know
"""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong: `place` is `file:line: key` or as much of it as is known."""

    message: str
    place: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ParamcalcError(Exception):
    """Root of all refusals, never raised itself. All problems of one input travel together."""

    exit_code = 3

    def __init__(self, message: str | list[Problem], *, place: str = "", hint: str = "") -> None:
        self.problems = message if isinstance(message, list) else [Problem(message, place, hint)]
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def at(self, source: str) -> ParamcalcError:
        """The same refusal with the source named in every place that does not name it yet."""
        placed = []
        for problem in self.problems:
            known = problem.place.startswith(source)
            place = problem.place if known else ": ".join(filter(None, (source, problem.place)))
            placed.append(problem._replace(place=place))
        return type(self)(placed)


class BudgetError(ParamcalcError, AssertionError):
    """A budget is breached: one problem a limit, with its value, its excess and the largest part."""

    exit_code = 1


class UsageError(ParamcalcError):
    """The call is wrong: an unknown option, a value out of range, two options that exclude each other."""

    exit_code = 2


class InputError(ParamcalcError):
    """The input is wrong: malformed, inconsistent or hostile."""

    exit_code = 3


class SourceError(ParamcalcError):
    """The source was not found, may not be read, or the network refused."""

    exit_code = 4


class UnknownArchitectureError(ParamcalcError):
    """An architecture, family or kind of block that paramcalc does not know. It is never guessed."""

    exit_code = 5
