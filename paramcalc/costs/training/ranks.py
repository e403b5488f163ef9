"""Which ranks a layout has, and what each of them holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from paramcalc.costs.training.autograd import BYTES
from paramcalc.costs.training.job import FLA, MAMBA, MEGATRON, TRANSFORMERS, Settings, TrainingJob
from paramcalc.costs.training.layout import Stage, in_flight, rank_of, stages
from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.costs.training.segment import Segment
from paramcalc.costs.training.states import States, replicas, shared, states_of
from paramcalc.costs.training.timeline import Passes, Policy, run_passes
from paramcalc.costs.training.walk import Walk
from paramcalc.holdings.inventory import inventory
from paramcalc.holdings.trainable import Adapted, adapt
from paramcalc.model.architecture import Architecture
from paramcalc.model.rows import Row
from paramcalc.model.tape import Storage
from paramcalc.words.errors import UsageError


class Rank(NamedTuple):
    """One kind of rank."""

    name: str
    states: States
    passes: Passes
    inputs: int
    """Bytes of token ids and labels."""
    trained: int
    """Parameters that train, over all ranks."""
    host: int = 0
    prefixed_decoder: bool = False
    """Whether a decoder has a prefix and an encoder none: the reference then makes a mask for each sequence, which is not modelled."""
    model_type: str | None = None
    skipped: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    convolves: bool = False
    """Whether it has convolutions, whose kernels take memory of their own."""
    warnings: tuple[str, ...] = ()


def ranks(architecture: Architecture, settings: Settings) -> Iterator[Rank]:
    """Every kind of rank of the layout that a job asks for."""
    job = settings.job
    everything = adapt(architecture, settings.method)
    trained = everything.trainable
    if not trained:
        raise UsageError(f"{job.method} finds nothing to train in this architecture", place="method", hint="--method lora")
    own = rank_of(architecture, job.tp, job.ep)
    adapted = everything if own is architecture else adapt(own, settings.method)
    walk, tape = recorded(own, settings, adapted)
    rows = inventory(own)
    if job.pp == 1:
        yield _rank("every device", walk.segments, rows, None, _Made(own, settings, adapted, walk, tape, trained))
        return
    if walk.left_out:
        raise UsageError("a pipeline of layers of which some are left out is not modelled", place="pp", hint="--zero 3 --dp, or --tp")
    for stage in fullest(stages(own, job.pp)):
        held = [row for row in map(stage.holds, rows) if row]
        made = _Made(own, settings, adapted, walk, tape, trained)
        yield _rank(f"pipeline stage {stage.number + 1} of {stage.stages}", clipped(walk.segments, stage), held, stage, made)


def fullest(found: list[Stage]) -> list[Stage]:
    """The stages of which one is the worst: of those between the first and the last that hold the same layers, the foremost
    has the most micro-batches in flight."""
    between: dict[tuple[tuple[str, tuple[int, int]], ...], Stage] = {}
    for stage in found[1:-1]:
        between.setdefault(tuple(stage.kinds.items()), stage)
    return [found[0], *between.values(), found[-1]]


class _Made(NamedTuple):
    """What all ranks have in common."""

    architecture: Architecture
    settings: Settings
    adapted: Adapted
    walk: Walk
    tape: ModelTape
    trained: int


def _rank(name: str, segments: Sequence[Segment], rows: list[Row], stage: Stage | None, made: _Made) -> Rank:
    settings = made.settings
    inputs = made.tape.given
    quantized = _weight_bytes(made.architecture, settings, rows)
    states = states_of(settings, _of_stage(made.adapted, stage), rows, quantized)
    gathered = _gathered(made, rows, quantized)
    replicated = replicas(settings, rows)
    kept, host = shared(states, settings, replicated)
    standing = kept.gradients if settings.main_gradients else 0
    policy = _policy(made, inputs, gathered, stage, standing, replicated)
    there = frozenset().union(*(output_storages(segment) for segment in segments))
    passes = run_passes(segments, policy._replace(held=policy.held & there))
    warnings = ["parameters come from the host for each layer"] if gathered.offloaded else []
    warnings += [f"{part} reads images and is left out where there are none" for part in made.walk.left_out]
    return Rank(
        name=name,
        prefixed_decoder=made.adapted.source and settings.method.name == "prefix",
        states=kept,
        passes=passes,
        inputs=inputs,
        trained=made.trained,
        host=host,
        model_type=made.architecture.model_type,
        skipped=tuple(made.walk.skipped),
        idle=tuple(made.walk.idle),
        convolves=any(op.name == "convolution" for segment in segments for op in segment.ops),
        warnings=tuple(warnings),
    )


def recorded(architecture: Architecture, settings: Settings, adapted: Adapted) -> tuple[Walk, ModelTape]:
    """The forward pass of a rank's architecture on a tape."""
    job = settings.job
    length = -(-settings.length // job.cp)
    tape = _tape(job)(
        job.batch_size,
        length,
        settings.recipe,
        adapted,
        sequence_parallel=job.tp if job.sequence_parallel else 1,
        expert_parallel=job.ep > 1,
    )
    walk = Walk(
        architecture,
        tape,
        loss=job.loss,
        inputs_need_grad=job.checkpointing == "full",
        last_n=settings.method.last_n if settings.method.name == "last-n" else 0,
        image=settings.image,
        images=job.images,
        checkpointing=job.checkpointing == "full",
    )
    walk.record()
    return walk, tape


def _tape(job: TrainingJob) -> type[ModelTape]:
    """Whose kernels are recorded."""
    if job.stack == TRANSFORMERS:
        return ModelTape
    if job.stack == FLA:
        from paramcalc.costs.training.fla import FlaTape

        return FlaTape
    if job.stack == MAMBA:
        from paramcalc.costs.training.mamba_ssm import MambaTape

        return MambaTape
    from paramcalc.costs.training.megatron import MegatronTape

    return MegatronTape


def clipped(segments: Sequence[Segment], stage: Stage) -> list[Segment]:
    """The segments of one stage: what stands before the layers in the first, what stands behind them in the last."""
    found, at, end = [], 0, stage.first_layer + stage.layers
    for segment in segments:
        if not segment.layer:
            if stage.is_first if at == 0 else stage.is_last:
                found.append(segment)
            continue
        own = min(end, at + segment.times) - max(stage.first_layer, at)
        at += segment.times
        if own > 0:
            found.append(segment._replace(times=own))
    return found


def _of_stage(adapted: Adapted, stage: Stage | None) -> Adapted:
    if stage is None:
        return adapted
    added = [row for row in map(stage.holds, adapted.added) if row]
    trained = [row for row in map(stage.holds, adapted.trained) if row]
    return adapted._replace(added=added, trained=trained)


def output_storages(segment: Segment) -> frozenset[Storage]:
    return frozenset(op.output.storage for op in segment.ops)


class Gathered(NamedTuple):
    """Parameters that a rank holds for a while only."""

    always: int = 0
    """Of what stands outside of the layers: held through both passes."""
    layer: int = 0
    """Of the layer that is computed and of the next one, fetched meanwhile."""
    offloaded: bool = False


def _gathered(made: _Made, rows: list[Row], quantized: int | None) -> Gathered:
    """Units that FSDP or ZeRO-3 gather, or that come from the host: the layer at work, the next, and the root's own."""
    job = made.settings.job
    if job.zero < 3 and job.offload != "params":
        return Gathered()
    per_element = BYTES[made.settings.recipe.weights]
    outside, layers = 0, 0
    for stack in {row.part.rpartition(".")[0] for row in rows}:
        own = [row for row in rows if row.part.rpartition(".")[0] == stack]
        if any("{}" in row.name for row in own):
            copies = min(row.repeat for row in own)
            layers = max(layers, sum(row.total // copies for row in own))
        else:
            outside += sum(row.total for row in own) * per_element
    size = layers * per_element
    if quantized is not None:
        inside = sum(row.total for row in rows) * per_element - outside
        size = size * max(0, quantized - outside) // max(1, inside)
    return Gathered(outside, 2 * size, job.offload == "params")


def _policy(made: _Made, inputs: int, gathered: Gathered, stage: Stage | None, standing: int, ranks: Fraction) -> Policy:
    settings, walk = made.settings, made.walk
    job = settings.job
    chunks = (1, 1) if stage is None else in_flight(stage, job.grad_accum, job.virtual_stages)
    return Policy(
        checkpointing=job.checkpointing == "full",
        loss=walk.loss_storages(),
        held=frozenset() if walk.logits is None or job.loss == "fused" or job.stack == MEGATRON else frozenset({walk.logits.storage}),
        inputs=inputs,
        leaves=frozenset(walk.leaves),
        late=sum(row.total for row in made.adapted.added) * BYTES[settings.recipe.adapters] if settings.method.name == "prefix" else 0,
        accumulated=job.grad_accum > 1 or standing > 0,
        standing=standing,
        gathered=gathered.layer,
        always=gathered.always,
        gradient_ranks=ranks if job.zero >= 2 else Fraction(1),
        in_flight=chunks,
    )


def _weight_bytes(architecture: Architecture, settings: Settings, rows: list[Row]) -> int | None:
    """Bytes of a quantized base that holds these rows; None where it is not quantized."""
    if settings.scheme.method == "none":
        return None
    from paramcalc.costs.quantization.weights import weights_of

    every = {row.name: row.repeat for row in inventory(architecture)}
    own = {row.name: row.repeat for row in rows}
    held = weights_of(architecture, settings.scheme, settings.recipe.weights)
    return sum(each.bytes * own.get(each.row.name, 0) // every[each.row.name] for each in held if each.row.name in every)
