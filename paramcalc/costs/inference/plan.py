"""The inference plan: terms of the worst rank, the sum over all devices, phases, and what is not modelled."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from paramcalc.costs.inference.caches import Kept
from paramcalc.costs.inference.job import GIVEN, LLAMA_CPP, TRANSFORMERS, VLLM, InferenceJob, Settings, settle
from paramcalc.costs.inference.overheads import COMMUNICATION, overhead
from paramcalc.costs.inference.rank import Rank
from paramcalc.costs.inference.sharding import Ranks, Stage, evenly, stages
from paramcalc.costs.quantization.held import Held, by_part, total_bytes
from paramcalc.costs.quantization.weights import weight_bytes
from paramcalc.costs.terms import EXACT, MODEL, Input, Term, band, total
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.units import bytes_text

MODULES = {TRANSFORMERS: "transformers", VLLM: "vllm", LLAMA_CPP: "llama_cpp", "ideal": "ideal"}
BASICS = ("weights", "kv_cache", "state_cache")
"""What is held between two steps."""


SCALES = frozenset(
    {"scale", "scales", "scales_of_scales", "minimum", "zero_points", "qzeros", "g_idx", "code", "shape", "tensor_scale", "input_scale"}
)
"""Parts of quantized weights that are no values."""


class InferencePlan(NamedTuple):
    """What running a model takes. Bytes throughout; `terms` are those of the worst rank and sum to its total."""

    architecture: Architecture
    inputs: tuple[Input, ...]
    devices: int
    terms: tuple[Term, ...]
    sum: int
    """Over all devices."""
    phases: tuple[tuple[str, int], ...] = ()
    not_modelled: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    settings: Settings | None = None
    """None for a model of which only its size was reported."""

    @property
    def total(self) -> int:
        """The peak of the worst rank."""
        return total(self.terms)

    @property
    def low(self) -> int:
        return band(self.terms)[0]

    @property
    def high(self) -> int:
        return band(self.terms)[1]

    @property
    def held(self) -> int:
        """What stays between two steps: weights, caches, states."""
        return total(term for term in self.terms if term.name in BASICS)

    @property
    def scales(self) -> int:
        """What quantized weights hold beside their values: scales, zero points, minima, places, tables of codes."""
        weights = self.term("weights")
        return sum(size for part, size in weights.extra if part in SCALES) if weights else 0

    def term(self, name: str) -> Term | None:
        return next((term for term in self.terms if term.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """The answer of `paramcalc infer --format json`."""
        from paramcalc.holdings.counts import identity

        return {
            "schema": "paramcalc/infer/1",
            "model": identity(self.architecture),
            "inputs": [given.to_dict() for given in self.inputs],
            "devices": self.devices,
            "per_device": {
                "total": self.total,
                "low": self.low,
                "high": self.high,
                "terms": [term.to_dict() for term in self.terms],
                "phases": [{"name": name, "bytes": size} for name, size in self.phases],
            },
            "sum": self.sum,
            "not_modelled": list(self.not_modelled),
            "warnings": list(self.warnings),
        }


def plan_inference(architecture: Architecture, job: InferenceJob = InferenceJob()) -> InferencePlan:
    """What one device needs, and all together. Raises UsageError for a job that cannot be.

    Of a reported model only a range of bytes for weights can be told.
    """
    if architecture.reported:
        from paramcalc.costs.inference.reported import plan_reported

        return plan_reported(architecture, architecture.reported, job)
    architecture.must_run()
    settings = settle(job, architecture)
    engine = import_module(f"paramcalc.costs.inference.engines.{MODULES[settings.engine]}")
    numbered = settings.scheme.method == "gguf" or settings.scheme.left_out.numbered
    ranks = Ranks(settings.tp, settings.ep, getattr(engine, "VOCABULARY", 1))
    divided = stages(architecture, ranks, settings.pp, getattr(engine, "divide", evenly), numbered=numbered)
    weights = _weights(architecture, divided, settings)
    _check_groups(weights, settings, job)
    counted = [total_bytes(held) for held in weights]
    found = [
        _terms(Rank(stage, settings, architecture), held, engine, total_bytes(held) / (sum(counted) or 1))
        for stage, held in zip(divided, weights, strict=True)
    ]
    worst = max(range(len(found)), key=lambda number: total(found[number]))
    terms = found[worst]
    warnings = [*architecture.origin.warnings, *settings.warnings, *_remarks(divided[worst])]
    if job.gpu is not None:
        warnings += _pool(terms, settings, job.gpu)
    return InferencePlan(
        architecture,
        (*settings.inputs, *([Input("gpu", job.gpu, GIVEN)] if job.gpu else [])),
        settings.devices,
        tuple(terms),
        sum(total(each) for each in found) * (settings.devices // settings.pp),
        _phases(terms, weights[worst], settings),
        tuple(engine.NOT_MODELLED),
        tuple(warnings),
        settings,
    )


def _weights(architecture: Architecture, divided: list[Stage], settings: Settings) -> list[list[Held]]:
    """What the weights of one rank of each stage weigh. All stages are asked at once: a GGUF mix depends on the whole model."""
    owner = {id(tensor.row): stage.number for stage in divided for tensor in stage.tensors}
    made: list[list[Held]] = [[] for _ in divided]
    everything = [tensor for stage in divided for tensor in stage.tensors]
    for held in weight_bytes(everything, settings.scheme, settings.weights, architecture.model_type or ""):
        made[owner[id(held.row)]].append(held)
    return made


def _check_groups(weights: list[list[Held]], settings: Settings, job: InferenceJob) -> None:
    """A group size that was asked for divides the inputs of every matrix it is meant for."""
    group = settings.scheme.group
    if job.group_size is None or group <= 1:
        return
    for held in (each for stage in weights for each in stage):
        row = held.row
        inputs = int(row.shape[-1])
        if len(row.shape) >= 2 and row.op in ("linear", "stack") and held.format.startswith("int") and inputs % group:
            raise UsageError(f"groups of {group} do not divide the {inputs:,} inputs of {row.name}", place="group_size")


def _terms(rank: Rank, held: list[Held], engine: ModuleType, share: float) -> list[Term]:
    kept: list[Kept] = engine.kept(rank)
    weights = _stored_term(rank, share) if rank.settings.stored else _weights_term(rank, held, engine)
    terms = [weights, _cache_term("kv_cache", kept, rank.settings, engine, states=False)]
    if any(each.is_state for each in kept):
        terms.append(_cache_term("state_cache", kept, rank.settings, engine, states=True))
    terms.append(engine.activations(rank))
    if engine.OVERHEAD:
        shared = (COMMUNICATION,) if rank.settings.devices > 1 and rank.settings.engine != LLAMA_CPP else ()
        terms.append(overhead([*engine.OVERHEAD, *shared]))
    return terms


def _weights_term(rank: Rank, held: list[Held], engine: ModuleType) -> Term:
    settings, stage = rank.settings, rank.stage
    beside: list[tuple[str, int]] = engine.beside_weights(rank) if hasattr(engine, "beside_weights") else []
    where = f"stage {stage.number + 1} of {stage.of}" if stage.of > 1 else ""
    which = f"one of {settings.devices // stage.of} ranks" if settings.devices > stage.of else ""
    form = settings.scheme.name if settings.scheme.method != "none" else settings.weights
    return Term(
        "weights",
        total_bytes(held) + sum(size for _, size in beside),
        EXACT,
        _weight_source(settings),
        ", ".join(filter(None, (form, where, which))),
        extra=tuple({**by_part(held), **dict(beside)}.items()),
    )


def _stored_term(rank: Rank, share: float) -> Term:
    """A weight file as it is; of several devices, each has the share that it would have of counted weights."""
    settings = rank.settings
    parts = tuple((name, round(size * share * settings.pp / settings.devices)) for name, size in settings.stored)
    whole = settings.devices == 1
    source = "tensors of the weight file, by its header"
    return Term("weights", sum(size for _, size in parts), EXACT if whole else MODEL, source, "as stored", extra=parts)


def _weight_source(settings: Settings) -> str:
    method = settings.scheme.method
    if method == "none":
        return "counted: every tensor once, in the format it is computed in"
    module = import_module(f"paramcalc.costs.quantization.{'gguf_mix' if method == 'gguf' else method}")
    return str(module.SOURCE)


def _cache_term(name: str, kept: list[Kept], settings: Settings, engine: ModuleType, *, states: bool) -> Term:
    chosen = [each for each in kept if each.is_state is states]
    needed, reserved = sum(each.ideal for each in chosen), sum(each.reserved for each in chosen)
    source = engine.CACHE_SOURCE
    if settings.cache == "static":
        source = engine.STATIC_SOURCE
    per = f"{settings.sequences:,} × {settings.context:,} tokens"
    if states:
        per = f"{settings.sequences:,} sequence{'s' if settings.sequences > 1 else ''}, whatever their length"
    return Term(
        name,
        reserved,
        EXACT,
        source if chosen else "no layer keeps any",
        per if chosen else "",
        extra=(("ideal", needed), ("reserved", reserved)),
    )


def _phases(terms: list[Term], held: list[Held], settings: Settings) -> tuple[tuple[str, int], ...]:
    """Loading, at rest, at work. While transformers loads, one tensor lives beside what it becomes: a matrix in 16 bits beside its
    quantized form (bitsandbytes), experts one by one beside their stack (core_model_loading.py of transformers 5.23)."""
    sizes = {term.name: term.bytes for term in terms}
    beside = sizes.get("overhead", 0)
    quantized = settings.scheme.method == "bitsandbytes"
    made = [each.row for each in held if quantized or each.row.op == "stack"] if settings.engine == TRANSFORMERS else []
    largest = max((row.elements * settings.element for row in made), default=0)
    rest = sum(sizes.get(name, 0) for name in BASICS)
    return (
        ("load", sizes["weights"] + largest + beside),
        ("between_steps", rest + beside),
        ("step", rest + sizes["activations"] + beside),
    )


def _remarks(stage: Stage) -> list[str]:
    """What a reader should know about this stage's figures."""
    unknown = any(row.experts is not None and row.experts[1] is None for row in (tensor.row for tensor in stage.tensors))
    return ["activations count one expert a token: the description does not fix how many compute"] if unknown else []


def _pool(terms: list[Term], settings: Settings, gpu: str) -> list[str]:
    """What is left of a device: vLLM fills it with cache."""
    from paramcalc.costs.devices import find

    device, _ = find(gpu)
    sizes = {term.name: term.bytes for term in terms}
    cache = sizes["kv_cache"] + sizes.get("state_cache", 0)
    others = sum(sizes.values()) - cache
    usable = int(device.capacity * settings.utilization)
    left = usable - others
    if left < cache:
        return [f"does not fit {device.name}: {bytes_text(others + cache)} of {bytes_text(usable)}"]
    if settings.engine != VLLM or not cache:
        return [f"fits {device.name}: {bytes_text(left - cache)} of {bytes_text(usable)} are left"]
    times = left / (cache / settings.sequences)
    return [f"on {device.name} vLLM's pool is {bytes_text(left)}: room for {times:,.1f} sequences of {settings.context:,} tokens"]


__all__ = ["InferencePlan", "plan_inference"]
