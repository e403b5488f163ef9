"""A model as it stood at a revision, read through git itself: nothing is checked out, nothing in the repository changes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from paramcalc.gate.documents import MAX_BYTES, Document, parse_json, parse_yaml
from paramcalc.gate.load import Reading, from_document
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import InputError, SourceError, UsageError

SECONDS = 30
"""How long one call of git may take."""
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
"""Asks nothing, locks nothing, fetches nothing, and says it in English."""
_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What git sets for its hooks, about the folder that they start in."""


def load_at(model: str, revision: str, reading: Reading = Reading()) -> Architecture:
    """A spec or config in a git repository as it stood at a revision.

    Raises SourceError where git, the repository, the revision or the file in it is not there, and InputError where the file
    is not one whose text says everything.
    """
    path = Path(model)
    if path.is_dir():
        path = path / "config.json"
    if path.suffix not in (".yaml", ".yml", ".json") or path.name.endswith(".index.json"):
        raise InputError("only a spec or a config can be read at a revision", place=model)
    name = f"{revision}:{path.as_posix()}"
    text = text_at(path, revision)
    value = parse_json(text, name) if path.suffix == ".json" else parse_yaml(text, name)
    if not isinstance(value, dict):
        raise InputError("expected a mapping of keys to values", place=name)
    return from_document(Document(value, name, text), reading, config=path.suffix == ".json")


def text_at(path: Path, revision: str) -> str:
    """The text of a file at a revision. Raises SourceError, or InputError where it is no text or too large."""
    _check_name(revision)
    folder = Path(os.path.realpath(path.parent))
    name = f"{revision}:{path.as_posix()}"
    blob = f"{revision}:./{path.name}"
    kind = _git(folder, name, "cat-file", "-t", blob)
    if kind is None:
        _explain(folder, name, revision)
    size = _git(folder, name, "cat-file", "-s", blob)
    if kind is None or size is None or kind.strip() != b"blob":
        raise SourceError("is not a file in that revision", place=name)
    if int(size) > MAX_BYTES:
        raise InputError(f"is {int(size):,} bytes; a spec or config has at most {MAX_BYTES:,}", place=name)
    try:
        return (_git(folder, name, "cat-file", "blob", blob) or b"").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8", place=name) from error


def is_at(path: Path, revision: str) -> bool:
    """Whether a revision has a file. Raises SourceError where the repository or the revision itself is not there."""
    _check_name(revision)
    folder = Path(os.path.realpath(path.parent))
    if _git(folder, revision, "cat-file", "-e", f"{revision}:./{path.name}") is not None:
        return True
    _find_revision(folder, revision, revision)
    return False


def check_revision(folder: Path, revision: str) -> None:
    """Raises SourceError where a folder is in no repository, or that has no such revision; UsageError for what is no name of one."""
    _check_name(revision)
    _find_revision(Path(os.path.realpath(folder)), revision, revision)


def _check_name(revision: str) -> None:
    """Nothing that git would read as an option, or as a path."""
    if revision.startswith("-") or not revision.strip() or any(sign in revision for sign in "\0\n:"):
        raise UsageError(f"expected a git revision, got {revision!r:.60}", hint="as in main, HEAD~1, v1.2 or a commit")


def _explain(folder: Path, name: str, revision: str) -> None:
    """Says which of repository, revision and file is missing."""
    _find_revision(folder, revision, name)
    raise SourceError("that revision has no such file", place=name, hint="a file that was renamed is compared by `paramcalc diff A B`")


def _find_revision(folder: Path, revision: str, name: str) -> None:
    repository = _call(folder, name, "rev-parse", "--git-dir")
    if repository.returncode:
        said = next(iter(repository.stderr.decode(errors="replace").splitlines()), "it is in no repository").removeprefix("fatal: ")
        raise SourceError(f"git does not read {folder}: {said}"[:300], place=name)
    if _git(folder, name, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") is None:
        hint = "fetch it first; a shallow clone has only its last commits"
        raise SourceError(f"the repository has no revision {revision!r:.80}", place=name, hint=hint)


def _git(folder: Path, name: str, *arguments: str) -> bytes | None:
    """What git answers; None where it refuses."""
    done = _call(folder, name, *arguments)
    return done.stdout if done.returncode == 0 else None


def _call(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in _HOOKS} | _QUIET
    command = ["git", "-C", os.fspath(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL, env=environment)
    except FileNotFoundError as error:
        raise SourceError("git is not there to be asked", place=name, hint="install git, or compare two files") from error
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        raise SourceError(f"git does not answer: {error}"[:160], place=name) from error
