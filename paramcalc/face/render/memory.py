"""The screens of `infer` and `memory`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from paramcalc.costs.inference.plan import InferencePlan
from paramcalc.costs.terms import Input, Term
from paramcalc.face.render.cells import short_bytes
from paramcalc.face.render.counts import about_line
from paramcalc.face.render.view import Column, Table, View, share
from paramcalc.words.units import bytes_text

if TYPE_CHECKING:
    from paramcalc.costs.overview import Overview, Running, Training


BESIDE = ("padding", "rotary_tables", "latent_expansion")
"""Parts of weights that are no parameters."""
NONE = "none of these"
"""No number of GPUs that the overview tries: what each of them takes does not divide far enough."""


def inference_view(plan: InferencePlan) -> View:
    """The answer in the first line, the terms below it, then what they rest on."""
    tables = [terms_table(plan.terms, plan.total)]
    if inside := _inside(plan):
        tables.append(Table([Column("of which"), Column("bytes", "count"), Column("", "bytes")], inside))
    return View(_headline(plan), tables, about_line(plan.architecture), list(_notes(plan)))


def _headline(plan: InferencePlan) -> str:
    engine = plan.settings.engine if plan.settings else ""
    where = "to run" if plan.devices == 1 else f"on the fullest of {plan.devices:,} devices, {bytes_text(plan.sum)} on all"
    if not plan.settings:
        return f"{plan.architecture.name} · weights alone, {bytes_text(plan.low)} to {bytes_text(plan.high)}"
    return f"{plan.architecture.name} · {bytes_text(plan.total)} {where} ({bytes_text(plan.low)} to {bytes_text(plan.high)}) · {engine}"


def terms_table(terms: Iterable[Term], total: int) -> Table:
    """Each term with its share and what it rests on."""
    columns = [Column("term"), Column("bytes", "count"), Column("", "bytes"), Column("share", "share"), Column("basis"), Column("note")]
    rows: list[list[Any]] = [[t.name, t.bytes, t.bytes, share(t.bytes, total), t.basis, t.note] for t in terms if t.bytes]
    return Table(columns, [*rows, ["total", total, total, 1.0, "", ""]], total=True)


def _inside(plan: InferencePlan) -> list[list[Any]]:
    """What the cache needs beside what is reserved, and what scales cost."""
    rows: list[list[Any]] = []
    for term in plan.terms:
        extra = dict(term.extra)
        if term.bytes and "ideal" in extra:
            rows.append([f"{term.name} as needed", extra["ideal"], extra["ideal"]])
            rows.append([f"{term.name} as reserved", extra["reserved"], extra["reserved"]])
        if term.name == "weights":
            rows += [["scales and zero points", plan.scales, plan.scales]] if plan.scales else []
            rows += [[name.replace("_", " "), size, size] for name, size in term.extra if name in BESIDE]
    return rows


def _notes(plan: InferencePlan) -> Iterable[str]:
    yield f"settings: {settings_text(plan.inputs)}"
    for term in plan.terms:
        if term.bytes:
            yield f"{term.name}: {term.source}"
    for line in plan.not_modelled:
        yield f"not in it: {line}"


def overview_view(found: Overview) -> View:
    """All formats on one screen: to run, then to train."""
    if found.architecture.reported:
        return _reported(found)
    bf16 = found.running[1]
    headline = (
        f"{found.architecture.name} · {short_bytes(bf16.plan.total)} to run in bf16, {short_bytes(found.running[3].plan.total)} in int4"
    )
    given = {each.name: each.value for each in found.inputs}
    running = Table(
        [Column("format"), *(Column(name, "short") for name in ("weights", "scales", "cache", "work", "total")), Column("smallest GPU")],
        [_running_row(line) for line in found.running],
        title=f"to run · {_sequences(given['batch_size'])} of {given['context']:,} tokens",
    )
    training = Table(
        [Column("format"), Column("full fine-tune"), Column("LoRA"), Column("QLoRA")],
        [[name, *(_trained_cell(each) for each in methods.values())] for name, methods in found.training.items()],
        title=f"to train · one sequence of {given['seq_len']:,} tokens, AdamW, checkpoints",
    )
    known = any(each and each.total is not None for methods in found.training.values() for each in methods.values())
    return View(headline, [running, training] if known else [running], about_line(found.architecture), list(_overview_notes(found)))


def _running_row(line: Running) -> list[Any]:
    cache = line.size("kv_cache", "state_cache")
    work = line.size("activations", "overhead")
    return [line.format, line.size("weights"), line.plan.scales or None, cache or None, work, line.plan.total, str(line.gpus or NONE)]


def _trained_cell(trained: Training | None) -> str:
    if trained is None or trained.total is None:
        return "–"
    return f"{short_bytes(trained.total)}, {trained.gpus or NONE}"


def _sequences(number: int) -> str:
    return "one sequence" if number == 1 else f"{number:,} sequences"


def _overview_notes(found: Overview) -> Iterable[str]:
    yield f"settings: {settings_text(found.inputs)}"
    yield "weights: all parameters, scales included; cache: kept for later tokens; work: activations of a prompt, and the runtime"
    yield "int8, int4: linear layers, one scale a row; embeddings, norms and head stay bf16; training them means adapters alone (QLoRA)"
    unknown = {each.why_not for each in found.training["bf16"].values() if each and each.why_not}
    yield from (f"training: {why}" for why in sorted(unknown))
    cards = "RTX 4060 8GB, 4070 12GB, 5080 16GB, 4090 24GB, 5090 32GB, L40S 48GB; H100 80GB, H200 141GB, B200 180GB, up to 512"
    yield f"GPUs by the upper end of the estimate: {cards}"
    yield "more: paramcalc infer, paramcalc train"


def _reported(found: Overview) -> View:
    """A reported size in every format: a range, and nothing else."""
    rows = [[line.format, line.plan.low, line.plan.high, line.plan.low, line.plan.high] for line in found.running]
    columns = [Column("format"), Column("bytes from", "count"), Column("to", "count"), Column("", "short"), Column("", "short")]
    plan = found.running[1].plan
    notes = [term.source for term in plan.terms] + list(plan.not_modelled)
    headline = f"{found.architecture.name} · weights alone, {short_bytes(plan.low)} to {short_bytes(plan.high)} in bf16"
    return View(headline, [Table(columns, rows, title="weights, as reported")], about_line(found.architecture), notes)


def settings_text(inputs: Iterable[Input]) -> str:
    """What was asked for and what was decided: `context 8,192 (read)`."""
    found = []
    for given in inputs:
        value = f"{given.value:,}" if isinstance(given.value, int) and not isinstance(given.value, bool) else str(given.value)
        if given.origin != "default" or given.value not in (1, "none", "dynamic"):
            found.append(f"{given.name} {value}" + (f" ({given.origin})" if given.origin != "given" else ""))
    return ", ".join(found)
