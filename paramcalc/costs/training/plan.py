"""Training memory of one device, phase by phase, with every term named: `plan_training(architecture, TrainingJob(...))`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from paramcalc.costs.terms import EXACT, MODEL, Input, Term, band, total
from paramcalc.costs.training import checked
from paramcalc.costs.training.autograd import Kept
from paramcalc.costs.training.job import FLA, MAMBA, TRANSFORMERS, Settings, TrainingJob, settle
from paramcalc.costs.training.liveness import ACTIVATIONS, GRADIENTS, LOGITS, WORKSPACE, Bytes, plus
from paramcalc.costs.training.overhead import overhead
from paramcalc.costs.training.ranks import Rank, ranks
from paramcalc.costs.training.states import optimizer_of
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture
from paramcalc.model.parts import kind_of

LOADED, FIRST, OPTIMIZER = "loaded", "first_step", "optimizer"
TERMS = ("weights", "master_weights", "adapters", "gradients", "optimizer", "activations", "logits", "workspace")
PHASES = (LOADED, FIRST, "forward", "forward_end", "backward_start", "backward", "backward_end", OPTIMIZER)
KERNELS = "Korthikanti et al. 2022, §4.1: Megatron-LM's fused kernels"
ADDED = {"adapter": "Houlsby et al. 2019, figure 2 (PEFT has no such adapters)"}
"""Who says what a method computes, where that is not PEFT."""
TAKEN = {"plain": "the model's own loss", "fused": "Liger-Kernel 0.8.2", "chunked": "torchtune's CEWithChunkedOutputLoss"}
"""Whose loss it is."""
AUTOGRAD = "torch 2.13 autograd over transformers 5.23's operations (CUDA semantics)"
WITH_FLA = f"{AUTOGRAD}; kernels of flash-linear-attention 0.5.2 by their source, not compared with a run"
WITH_MAMBA = f"{AUTOGRAD}; kernels of mamba-ssm 2.3 by their source, not compared with a run"


class Phase(NamedTuple):
    """The fullest moment of a phase."""

    name: str
    terms: Bytes

    @property
    def bytes(self) -> int:
        return sum(self.terms.values())


class TrainingPlan(NamedTuple):
    """What one device holds. All devices hold as much or less."""

    architecture: Architecture
    settings: Settings
    terms: tuple[Term, ...]
    """At the peak; they sum to `total`."""
    phases: tuple[Phase, ...]
    peak_phase: str
    saved_for_backward: int
    kept: tuple[tuple[Kept, int], ...]
    """Every tensor that autograd keeps, and how often it is there."""
    trained: int
    """Parameters that train, over all devices."""
    host: int
    """Bytes that offloading puts into the host's memory, for one device."""
    rank: str
    not_modelled: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def devices(self) -> int:
        return self.settings.devices

    @property
    def total(self) -> int:
        return total(self.terms)

    @property
    def low(self) -> int:
        return band(self.terms)[0]

    @property
    def high(self) -> int:
        return band(self.terms)[1]

    @property
    def allocated(self) -> int:
        """What an allocator would report as its peak."""
        return sum(term.bytes for term in self.terms if term.name != "overhead")

    @property
    def inputs(self) -> tuple[Input, ...]:
        return self.settings.inputs

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `paramcalc train`."""
        return {
            "schema": "paramcalc/train/1",
            "model": identity(self.architecture),
            "inputs": [each.to_dict() for each in self.inputs],
            "devices": self.devices,
            "trainable": self.trained,
            "per_device": {
                "total": self.total,
                "low": self.low,
                "high": self.high,
                "saved_for_backward": self.saved_for_backward,
                "peak_phase": self.peak_phase,
                "rank": self.rank,
                "host": self.host,
                "terms": [term.to_dict() for term in self.terms],
                "phases": [{"name": phase.name, "bytes": phase.bytes} for phase in self.phases],
            },
            "not_modelled": list(self.not_modelled),
            "warnings": list(self.warnings),
        }


def plan_training(architecture: Architecture, job: TrainingJob = TrainingJob()) -> TrainingPlan:
    """Plan a training run. Raises UsageError where it cannot be run, or is not understood."""
    architecture.must_run()
    checked.refuse_unknown(architecture.model_type)
    settings = settle(job, architecture)
    everyone = [(rank, moments(rank)) for rank in ranks(architecture, settings)]
    worst, found = max(everyone, key=lambda each: max(sum(moment.values()) for moment in each[1].values()))
    steps = {name: found[name] for name in PHASES if name in found}
    peak = max((name for name in steps if name != FIRST), key=lambda name: sum(steps[name].values()))
    terms = [_term(name, steps[peak][name], worst, settings) for name in TERMS if steps[peak].get(name)]
    terms.append(overhead(sum(term.bytes for term in terms)))
    return TrainingPlan(
        architecture=architecture,
        settings=settings,
        terms=tuple(terms),
        phases=tuple(Phase(name, terms_at) for name, terms_at in steps.items()),
        peak_phase=peak,
        saved_for_backward=worst.passes.saved,
        kept=tuple(worst.passes.kept),
        trained=worst.trained,
        host=worst.host,
        rank=worst.name,
        not_modelled=not_modelled(settings, worst),
        warnings=tuple(
            filter(
                None,
                (
                    *architecture.origin.warnings,
                    *settings.warnings,
                    *worst.warnings,
                    checked.about(architecture.model_type) if job.stack == TRANSFORMERS else "",
                    *(unpackaged(architecture) if job.stack == TRANSFORMERS else ()),
                ),
            )
        ),
    )


def unpackaged(architecture: Architecture) -> Iterator[str]:
    """What is computed in plain torch here, for which a package has kernels that keep less."""
    for packages in sorted({block.packages for block, _ in architecture.blocks() if block.packages}):
        these = [block for block, _ in architecture.blocks() if block.packages == packages]
        kinds = {kind_of(block) for block in these}
        option = " (--stack fla)" if "flash-linear-attention" in packages else ""
        if any(block.packaged for block in these):
            option = " (--stack mamba-ssm)"
        less = f"where those are installed, it keeps less{option}"
        yield f"{', '.join(sorted(kinds))}: as transformers computes it without {packages}; {less}"


def moments(rank: Rank) -> dict[str, Bytes]:
    """The fullest moment of each phase of a later step, and of the first step as a whole."""
    states = rank.states
    fixed = {"weights": states.weights, "adapters": states.adapters, "master_weights": states.master}
    resident = fixed | {"optimizer": states.optimizer}
    buckets = {WORKSPACE: states.buckets}
    passes = {name: plus(resident, moment, buckets) for name, moment in rank.passes.phases.items()}
    step = plus(resident, {GRADIENTS: states.gradients, WORKSPACE: states.step + states.buckets, ACTIVATIONS: rank.inputs})
    begun = fixed | {"optimizer": states.average}
    first = max([plus(begun, moment, buckets) for moment in rank.passes.phases.values()] + [step], key=lambda moment: sum(moment.values()))
    return {LOADED: fixed, FIRST: first} | passes | {OPTIMIZER: step}


def _term(name: str, size: int, rank: Rank, settings: Settings) -> Term:
    """A term with what it is made of."""
    return Term(name, size, *_about(name, rank, settings))


def _basis(rank: Rank, settings: Settings) -> str:
    """Activations are exact on one device for families that were compared with the reference to the byte, and nothing left out."""
    plain = settings.devices == 1 and settings.job.stack == TRANSFORMERS and not rank.prefixed_decoder
    return EXACT if plain and rank.model_type in checked.EXACT and not rank.skipped else MODEL


def _about(name: str, rank: Rank, settings: Settings) -> tuple[str, str, str]:
    states = rank.states
    recipe, row = settings.recipe, optimizer_of(settings)
    kernels = {TRANSFORMERS: AUTOGRAD, FLA: WITH_FLA, MAMBA: WITH_MAMBA}.get(settings.job.stack, KERNELS)
    shared = _shares(name, settings)
    if name == "weights":
        kind = f"{settings.scheme.name} base, the rest in {recipe.weights}" if recipe.quantized else recipe.weights
        return EXACT, "counted", f"{states.parameters:,} parameters, {kind}{shared}"
    if name == "master_weights":
        return EXACT, "Micikevicius et al. 2018", f"fp32 copies of {states.trained:,} parameters{shared}"
    if name == "adapters":
        return EXACT, "PEFT 0.21", f"{states.trained:,} parameters in {recipe.adapters}{shared}"
    if name == GRADIENTS:
        return EXACT, "torch autograd: in the parameter's format", f"of up to {states.trained:,} parameters{shared}"
    if name == "optimizer":
        return row.basis, row.source, ", ".join(filter(None, (row.name, row.note))) + shared
    if name == ACTIVATIONS:
        how = {"none": "every kept tensor", "selective": "attention's core recomputed", "full": "layer inputs, and a layer recomputed"}
        beside = f"; {ADDED.get(settings.method.name, 'peft 0.21')}" if settings.adapted else ""
        return _basis(rank, settings), kernels + beside, how[settings.job.checkpointing]
    if name == LOGITS:
        return (
            _basis(rank, settings),
            f"{kernels}; {TAKEN[settings.job.loss]}",
            f"logits, the loss and their gradients; {settings.job.loss} loss",
        )
    return MODEL, kernels, "temporaries of the moment: gradients of activations, copies, the optimizer's step"


def _shares(name: str, settings: Settings) -> str:
    job = settings.job
    stage = {"weights": 3, "adapters": 3, GRADIENTS: 2, "optimizer": 1, "master_weights": 1}.get(name, 4)
    return f", over {job.dp} ranks (ZeRO {job.zero})" if job.zero >= stage else ""


def not_modelled(settings: Settings, rank: Rank) -> tuple[str, ...]:
    """What the figures leave out."""
    missing = [
        "temporaries inside kernels (the sums of flash attention's backward, workspaces of matrix products)",
        "the data loader, evaluation, and the saving of checkpoints",
    ]
    if settings.devices > 1:
        missing.append("buffers of collective communication (NCCL: some hundred MB per process)")
    if rank.convolves:
        missing.append("workspaces of convolutions (cuDNN takes what its fastest algorithm asks for)")
    if settings.job.checkpointing == "full":
        missing.append("states of random number generators that checkpointing keeps on the host")
    if settings.recipe.quantized_keeps_input:
        missing.append("columns of outliers that LLM.int8 keeps in the compute format: as many as the data has")
    missing += [f"{name}: text alone leaves it without gradients, and what trains of it is counted all the same" for name in rank.idle]
    return (*missing, *(f"{name}: its activations" for name in rank.skipped))
