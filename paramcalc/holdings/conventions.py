"""The same parameters counted as others count them, each convention by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramcalc.model.rows import EMBEDDING

if TYPE_CHECKING:
    from paramcalc.holdings.counts import Counts

MEANINGS = {
    "total_without_embeddings": "total less all embedding tables and the head (Kaplan et al. 2020 count so)",
    "total_without_input_embedding": "total less the input table, unless the head uses it too",
    "total_tied_twice": "every name counted, so that a tied head counts beside its table",
    "active_without_input_embedding": "active less the input table, unless the head uses it too (gpt-oss counts so)",
    "active_without_embeddings": "active less all embedding tables and the head (GLM-4.5 counts so)",
}
"""What each convention means."""


def conventions(counts: Counts) -> dict[str, int | None]:
    """Every convention's figure; None where `active` itself is unknown."""
    tables = sum(row.total for row in counts.rows if row.kind == EMBEDDING)
    owners = {row.tied for row in counts.rows if row.tied}
    head = sum(row.total for row in counts.rows if row.role == "head" and row.op == "linear" and len(row.shape) == 2)
    first = next((row for row in counts.rows if row.role == "embedding" and not row.tied), None)
    table = 0 if first is None or first.part in owners else first.total

    def less(number: int | None, part: int) -> int | None:
        return None if number is None else number - part

    return {
        "total_without_embeddings": counts.total - tables - head,
        "total_without_input_embedding": counts.total - table,
        "total_tied_twice": counts.total + sum(row.elements * row.repeat for row in counts.rows if row.tied),
        "active_without_input_embedding": less(counts.active, table),
        "active_without_embeddings": less(counts.active, tables + head),
    }
