"""The screen of `train`."""

from __future__ import annotations

from paramcalc.costs.training.plan import TrainingPlan
from paramcalc.face.render.counts import about_line
from paramcalc.face.render.view import Column, Table, View, share
from paramcalc.words.units import bytes_text, rounded

PHASES = {
    "loaded": "after loading",
    "first_step": "first step",
    "forward": "forward, fullest",
    "forward_end": "end of forward",
    "backward_start": "start of backward",
    "backward": "backward, fullest",
    "backward_end": "end of backward",
    "optimizer": "optimizer step",
}


def training_view(plan: TrainingPlan) -> View:
    """What a device needs, of what it is made, when, and by which recipe."""
    many = f" on each of {plan.devices} devices (the worst: {plan.rank})" if plan.devices > 1 else ""
    head = f"{plan.architecture.name} · {bytes_text(plan.total)} to train{many} ({bytes_text(plan.low)} to {bytes_text(plan.high)})"
    rows = [[term.name, term.bytes, share(term.bytes, plan.total), term.basis, share(term.bytes, plan.total)] for term in plan.terms]
    terms = Table(
        [Column("term"), Column("bytes", "bytes"), Column("share", "share"), Column("basis"), Column("", "bar")],
        [*rows, ["total", plan.total, 1.0, "", 0.0]],
        total=True,
    )
    peak = max(phase.bytes for phase in plan.phases)
    phases = Table(
        [Column("phase (without overhead)"), Column("bytes", "bytes"), Column(""), Column("", "bar")],
        [
            [PHASES[phase.name], phase.bytes, "peak" if phase.name == plan.peak_phase else "", share(phase.bytes, peak)]
            for phase in plan.phases
        ],
    )
    given = [each for each in plan.inputs if each.origin != "default"]
    taken = [each for each in plan.inputs if each.origin == "default"]
    recipe = [f"given: {', '.join(f'{each.name} {_shown(each.value)}' for each in given)}"] if given else []
    recipe.append(f"by default: {', '.join(f'{each.name} {_shown(each.value)}' for each in taken)}")
    notes = [f"trains {plan.trained:,} parameters ({rounded(plan.trained)})", *recipe]
    if plan.host:
        notes.append(f"and {bytes_text(plan.host)} of the host's memory for each device")
    notes += [f"{term.name}: {term.note}" for term in plan.terms if term.note and term.basis == "measured"]
    notes.append(f"not modelled: {'; '.join(plan.not_modelled)}")
    return View(head, [terms, phases], about_line(plan.architecture), notes)


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
