"""Why a cache has the size it has: the formula of every row, the numbers put into it, the result."""

from __future__ import annotations

import inspect
from typing import Any

from paramcalc.costs.inference.caches import format_of, ideal, is_state, tokens_of
from paramcalc.costs.inference.job import InferenceJob, Settings, settle
from paramcalc.holdings.counts import identity
from paramcalc.holdings.explanations import Explanation, Line
from paramcalc.holdings.inventory import caches
from paramcalc.model.architecture import Architecture
from paramcalc.model.rows import CacheRow
from paramcalc.words.sizes import formula_of

TERMS = ("kv_cache", "state_cache")
"""Terms of `infer` that are explained here, as the mathematics needs them; weights are explained as parameters."""


def explain_cache(architecture: Architecture, term: str, job: InferenceJob = InferenceJob()) -> list[Explanation]:
    """Every layer's part of a cache, in bytes, for the context and the batch of a job."""
    settings = settle(job._replace(engine="ideal"), architecture)
    sources = {place.part: inspect.cleandoc(type(block).__doc__ or "") for block, place in architecture.blocks()}
    parts: dict[str, list[Line]] = {}
    for row in caches(architecture):
        if is_state(row) is (term == "state_cache"):
            parts.setdefault(row.part, []).append(_line(row, settings))
    return [Explanation(part, term, sum(line.total for line in lines), lines, sources.get(part, "")) for part, lines in parts.items()]


def _line(row: CacheRow, settings: Settings) -> Line:
    shape = row.suffices or row.shape
    form = format_of(row, settings)
    tokens = tokens_of(row, settings)
    what = {"token": "tokens", "source": "source tokens", "sequence": ""}[row.per]
    counts = [(what, tokens)] if what else []
    counts += [("sequences", settings.sequences)] if settings.sequences > 1 else []
    whole = [(f"{form.block_bytes} bytes" if form.elements == 1 else f"{form.block_bytes} bytes / {form.elements}", form.block_bytes)]
    names = " × ".join([*(name for name, _ in counts), formula_of(shape), *(name for name, _ in whole)])
    numbers = " × ".join([*(f"{number:,}" for _, number in counts), formula_of(shape, "numbers"), *(name for name, _ in whole)])
    note = f"tokens: min({settings.context:,}, window {row.window:,})" if row.window else ""
    total = ideal(row, settings)
    return Line(row.name, names, numbers, total // max(row.repeat, 1), row.repeat, total, note)


def cache_explanation_dict(architecture: Architecture, term: str, job: InferenceJob) -> dict[str, Any]:
    """The answer of `paramcalc explain MODEL kv_cache --format json`; totals are bytes."""
    parts = explain_cache(architecture, term, job)
    return {
        "schema": "paramcalc/explain/1",
        "model": identity(architecture),
        "term": term,
        "total": sum(part.total for part in parts),
        "unit": "bytes",
        "parts": [part.to_dict() for part in parts],
        "warnings": list(architecture.origin.warnings),
    }
