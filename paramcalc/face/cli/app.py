"""The program: its commands by name, of which only the one that is called is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from paramcalc.words.errors import ParamcalcError

COMMANDS: dict[str, tuple[str, str]] = {
    "count": ("count", "How many parameters, of which kind, where, how many active per token."),
    "memory": ("memory", "One screen: what it takes to run and to train, in fp32, bf16, int8 and int4."),
    "infer": ("infer", "Inference memory in detail, per device."),
    "train": ("train", "Training memory in detail, per device and per phase."),
    "check": ("check", "Hold models to a budget: exits 1 on a breach."),
    "diff": ("diff", "What changed from one model to another, in parameters and bytes."),
    "explain": ("explain", "The formula, the numbers put into it, the result, its source."),
    "fit": ("fit", "Whether it fits a card, how much is left, and what to lower if not."),
    "max": ("max_", "The largest batch, context, rank or number of sequences that fits a card."),
    "plan": ("plan", "The parallel layouts that fit, on so many cards or on the fewest."),
    "gpus": ("gpus", "The devices that are known; with a name, every number and its source."),
    "models": ("models", "The bundled architectures; with a name, its spec."),
    "validate": ("validate", "Whether a spec is right, and every default that was taken."),
    "import": ("import_", "Turn a config or weight file into a spec that counts the same."),
    "schema": ("schema", "The JSON Schema of a spec, for editors."),
}
"""Command to its module and its summary."""

EXIT_CODES = """Exit codes: 0 done, fits, within budget; 1 a "no"; 2 the call is wrong; 3 the input is wrong;
4 not found, or the network refused; 5 an architecture that paramcalc does not know."""


def main() -> None:
    """Run the program on the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app = build(sys.argv[1:])
    except ParamcalcError as error:  # of the project's own defaults
        print("\n".join(f"error: {problem}" for problem in error.problems), file=sys.stderr)
        sys.exit(error.exit_code)
    app(prog_name="paramcalc")


def build(arguments: Sequence[str]) -> typer.Typer:
    """The program with the one command loaded that the arguments name; the others are there by name and summary."""
    word = next((argument for argument in arguments if not argument.startswith("-")), "")
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,  # rich costs more to import than all the rest of --help
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "default_map": _defaults(word)},
    )
    app.callback(epilog=EXIT_CODES)(program)
    for name, (module, summary) in COMMANDS.items():
        run = command(module) if name == word else _stub
        app.command(name, help=(run.__doc__ or summary) if name == word else summary, epilog=EXIT_CODES)(run)
    return app


def _defaults(word: str) -> dict[str, dict[str, str]]:
    """What the project's pyproject.toml sets for the command that is called."""
    if word not in COMMANDS:
        return {}
    from paramcalc.gate.project import project

    form = project().format
    return {word: {"form": form}} if form else {}


def command(module: str) -> Callable[..., Any]:
    """The function of a command."""
    run: Callable[..., Any] = import_module(f"paramcalc.face.cli.{module}").run
    return run


def program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda wanted: _version(wanted))
    ] = False,
) -> None:
    """How many parameters a model has, and how much memory it takes to run, train or fine-tune it.

    MODEL is a YAML spec, a bundled name (gpt3), a config.json or its folder, a .safetensors or .gguf file, or a hub id.
    """


def _version(wanted: bool) -> None:
    if wanted:
        from paramcalc import __version__

        typer.echo(f"paramcalc {__version__}")
        raise typer.Exit


def _stub() -> None:
    """Stands for a command that was not called."""
