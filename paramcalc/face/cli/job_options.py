"""The options of `infer` and `train` for commands that take a job of either kind, as those two commands define them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

GpuOption = Annotated[str | None, typer.Option("--gpu", help="A card: rtx-4090, H100, 8xH100, 24GB, ... (paramcalc gpus)")]
GpusOption = Annotated[int | None, typer.Option("--gpus", metavar="N", help="How many of them.")]
CatalogueOption = Annotated[Path | None, typer.Option("--catalogue", metavar="FILE", help="Your own cards, in YAML; they win over ours.")]
ModeOption = Annotated[
    str | None, typer.Option("--mode", help="infer or train; infer unless an option of training is given.")
]  # fmt: skip


def with_job_options(run: Callable[..., None]) -> Callable[..., None]:
    """The command with every option of `infer` and `train` added; those that were given arrive as its argument `options`."""
    added = {parameter.name: parameter for parameter in _job_parameters()}
    hints = get_type_hints(run, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(run).parameters.values()
        if parameter.name != "options"
    ]

    @functools.wraps(run)
    def called(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in added}
        run(**arguments, options={name: value for name, value in given.items() if value is not None})

    signature = inspect.Signature([*_keyword(own), *added.values()])
    called.__signature__ = signature  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()} | {"return": None}
    return called


def _keyword(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]


def _job_parameters() -> Iterator[inspect.Parameter]:
    """The fields of both jobs as options that are None unless given."""
    from paramcalc.costs.inference.job import InferenceJob
    from paramcalc.costs.training.job import TrainingJob
    from paramcalc.face.cli import infer, train

    seen = {"gpu"}
    for command, fields in ((infer.run, InferenceJob._fields), (train.run, TrainingJob._fields)):
        hints = get_type_hints(command, include_extras=True)
        for name in fields:
            if name in hints and name not in seen:
                seen.add(name)
                yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_optional(hints[name]))


def _optional(annotation: Any) -> Any:
    """`Annotated[int, option]` as `Annotated[int | None, option]`."""
    assert get_origin(annotation) is Annotated
    kind, *rest = get_args(annotation)
    return Annotated[(kind | None, *rest)]
