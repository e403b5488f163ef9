"""A model on the hub: its config or headers, through huggingface_hub, never its weights. The only way to the network."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paramcalc.gate.weights.read import from_tensors
from paramcalc.gate.weights.tensors import Stored, folded
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import SourceError

_ID = re.compile(r"(?P<repo>[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})(@(?P<revision>[\w][\w./-]{0,200}))?\Z")
_FILES = (".yaml", ".yml", ".json", ".safetensors", ".gguf")


def is_hub_id(model: str) -> bool:
    """Whether a MODEL that is no path reads `org/name` or `org/name@revision`."""
    return _ID.match(model) is not None and not model.endswith(_FILES)


def read_hub(model: str, read: Callable[[Path, str], Architecture]) -> Architecture:
    """Fetch a repository's config.json, or the headers of its weights where it has none; `read` reads the config.

    Respects HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and the hub's cache. Raises SourceError without the extra, without
    network, and for a missing or gated repository.
    """
    match = _ID.match(model)
    assert match is not None
    repo, revision = match["repo"], match["revision"]
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
    except ImportError as error:
        raise SourceError(
            "no such file or bundled architecture, and a hub id needs the `hub` extra",
            place=model,
            hint="pip install 'paramcalc[hub]', or give the path of a config.json",
        ) from error
    path = _asked(lambda: huggingface_hub.hf_hub_download(repo, "config.json", revision=revision), model, missing_file=True)
    if path is not None:
        return read(Path(path), model)
    metadata = _asked(lambda: huggingface_hub.get_safetensors_metadata(repo, revision=revision), model)
    stored = [
        Stored(name, tuple(tensor.shape), tensor.dtype, 0, file)
        for file, header in metadata.files_metadata.items()
        for name, tensor in header.tensors.items()
    ]
    return from_tensors(folded(stored), model)


def _asked(ask: Callable[[], Any], model: str, *, missing_file: bool = False) -> Any:
    """What the hub answers; None where only the file is missing and that may be; every refusal as one SourceError."""
    from huggingface_hub import errors

    kinds: tuple[tuple[type[Exception], str, str], ...] = (
        (errors.GatedRepoError, "is gated: its makers want to be asked first", "accept its terms on the hub and set HF_TOKEN"),
        (errors.RepositoryNotFoundError, "no such repository on the hub, or a private one", "check the name; HF_TOKEN opens private ones"),
        (errors.RevisionNotFoundError, "the repository has no such revision", "org/name@revision takes a branch, tag or commit"),
        (errors.OfflineModeIsEnabled, "is not in the cache, and HF_HUB_OFFLINE forbids to fetch it", "give the path of a config.json"),
        (errors.LocalEntryNotFoundError, "is not in the cache, and the hub cannot be reached", "give the path of a config.json"),
        (errors.NotASafetensorsRepoError, "has neither a config.json nor weights in safetensors", "give a file of it by its path"),
    )
    try:
        return ask()
    except Exception as error:
        for kind, message, hint in kinds:
            if isinstance(error, kind):
                raise SourceError(message, place=model, hint=hint) from error
        if missing_file and isinstance(error, errors.EntryNotFoundError):
            return None
        if isinstance(error, OSError | ValueError | errors.HfHubHTTPError) or type(error).__module__.startswith(
            ("httpx", "httpcore", "requests")
        ):
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise SourceError(f"the hub refused or could not be reached: {first}"[:200], place=model) from error
        raise
