"""The rules of the house, read from the code itself."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import paramcalc
from paramcalc.gate.load import bundled_folder, bundled_names
from paramcalc.model.parts import block_class, block_kinds

PACKAGE = Path(paramcalc.__file__).parent
FLOORS = ("words", "model", "holdings", "costs", "gate", "face")
MAY_IMPORT = {
    "words": set(),
    "model": {"pydantic"},
    "holdings": {"pydantic"},
    "costs": {"pydantic"},
    "gate": {"pydantic", "yaml", "gguf", "huggingface_hub"},
    "face": {"pydantic", "yaml", "rich", "typer", "pytest"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function, for running (not only for types)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def floor_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "paramcalc" and len(parts) > 1 and parts[1] in FLOORS else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_its_own_floor_or_a_lower_one(path: Path) -> None:
    floor = path.relative_to(PACKAGE).parts[0]
    if floor not in FLOORS:
        return
    for module in imports(path):
        above = floor_of(module)
        assert not above or FLOORS.index(above) <= FLOORS.index(floor), f"{path.name} on the floor {floor} imports {module}"
        top = module.split(".")[0]
        if top != "paramcalc" and top not in sys.stdlib_module_names:
            assert top in MAY_IMPORT[floor], f"{path.name} on the floor {floor} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path.name} has no docstring"


def test_torch_is_imported_nowhere() -> None:
    for path in MODULES:
        assert not {module.split(".")[0] for module in imports(path)} & {"torch", "transformers", "numpy"}, path


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after running code."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    return set(json.loads(done.stderr.splitlines()[-1]))


def loaded_by_command(*arguments: str) -> set[str]:
    lines = [
        f"sys.argv = ['paramcalc', *{list(arguments)!r}]",
        "from paramcalc.__main__ import main",
        "try:",
        "    main()",
        "except SystemExit:",
        "    pass",
    ]
    return loaded_by("\n".join(lines))


def test_importing_paramcalc_imports_neither_rich_nor_typer_nor_pydantic() -> None:
    assert not loaded_by("import paramcalc") & {"rich", "typer", "pydantic", "yaml"}


def test_help_and_version_load_no_command() -> None:
    for argument in ("--help", "--version"):
        loaded = loaded_by_command(argument)
        assert not loaded & {"rich", "yaml", "paramcalc.gate.load", "paramcalc.model.parts"}


def test_count_to_json_loads_what_the_model_uses_and_no_more(gpt3: Path) -> None:
    loaded = loaded_by_command("count", str(gpt3), "--format", "json")
    assert "rich" not in loaded
    own = {module for module in loaded if module.startswith("paramcalc.")}
    blocks = {module.rpartition(".")[2] for module in own if module.startswith("paramcalc.model.blocks.")}
    assert blocks == {"attention", "embedding", "feed_forward", "head", "norm", "position"}
    families = {module.rpartition(".")[2] for module in own if module.startswith("paramcalc.gate.families.")}
    assert families == {"gpt", "index", "operations", "recipes"}
    assert not [module for module in own if module.startswith("paramcalc.costs")]


def test_a_table_loads_rich_and_nothing_of_costs(gpt3: Path) -> None:
    loaded = loaded_by_command("count", str(gpt3))
    assert "rich" in loaded
    assert not [module for module in loaded if module.startswith("paramcalc.costs")]


def test_a_check_of_parameters_plans_no_memory_and_draws_no_table(gpt3: Path) -> None:
    loaded = loaded_by_command("check", str(gpt3), "--max-params", "175B", "-f", "json")
    assert "paramcalc.costs.verdicts" in loaded
    planning = ("paramcalc.costs.inference", "paramcalc.costs.training", "paramcalc.costs.quantization", "paramcalc.costs.devices")
    assert not [module for module in loaded if module.startswith((*planning, "rich"))]


@pytest.mark.parametrize("kind", block_kinds())
def test_a_block_says_what_it_is_and_where_that_comes_from(kind: str) -> None:
    found = block_class(kind)
    assert found is not None
    assert len((found.__doc__ or "").split()) >= 8, f"{kind} has no docstring worth the name"


def test_every_public_name_is_there() -> None:
    for name in paramcalc.__all__:
        assert getattr(paramcalc, name) is not None
    assert paramcalc.__all__ == sorted(paramcalc.__all__)


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_architecture_says_where_its_numbers_are_from(name: str) -> None:
    text = (bundled_folder() / f"{name}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")
    assert paramcalc.load(name).source


def test_the_package_carries_its_licence_and_types() -> None:
    assert (PACKAGE / "py.typed").is_file()
