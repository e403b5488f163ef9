"""A model whose makers publish no architecture: a range of parameters is a range of bytes for weights, and no more."""

from __future__ import annotations

from paramcalc.costs.inference.job import DEFAULT, GIVEN, InferenceJob
from paramcalc.costs.inference.plan import InferencePlan
from paramcalc.costs.terms import MODEL, Input, Term
from paramcalc.model.architecture import Architecture, Reported
from paramcalc.words.errors import UsageError
from paramcalc.words.formats import FORMATS, compute_format

WHOLE = {"int8": "int8", "int4": "int4", "fp8": "fp8_e4m3"}
"""Formats of weights that a number of parameters alone can be counted in, scales left out."""


def plan_reported(architecture: Architecture, reported: Reported, job: InferenceJob) -> InferencePlan:
    """The weights' range. Raises UsageError for a format whose bytes depend on shapes."""
    name = job.quant or job.dtype or "bf16"
    if job.quant is not None and job.quant not in WHOLE:
        raise UsageError(
            f"what {job.quant} takes depends on shapes, which nobody published",
            place="quant",
            hint=f"one of {', '.join(WHOLE)}, or --dtype",
        )
    form = FORMATS[WHOLE[job.quant]] if job.quant else compute_format(name)
    low, high = form.bytes_for(int(reported.low)), form.bytes_for(int(reported.high or reported.low))
    bound = "" if reported.high else " and more: only a lower bound is reported"
    note = f"reported, not counted: {reported.confidence}" + ("; scales are not in it" if job.quant else "")
    weights = Term("weights", high, MODEL, reported.by, note, low=low, high=high)
    return InferencePlan(
        architecture,
        (Input("quant" if job.quant else "dtype", form.name, GIVEN if job.quant or job.dtype else DEFAULT),),
        1,
        (weights,),
        high,
        (("between_steps", high),),
        ("caches, activations and overhead: without an architecture nothing else can be known",),
        (f"only a size was reported: the weights' range is all that can be told; the total is its upper end{bound}",),
    )
