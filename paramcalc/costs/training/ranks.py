"""Which ranks a layout has, and what each of them holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from paramcalc.costs.training.job import Settings
from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.costs.training.states import States, states_of
from paramcalc.costs.training.timeline import Passes, Policy, run_passes
from paramcalc.costs.training.walk import Walk
from paramcalc.holdings.inventory import inventory
from paramcalc.holdings.trainable import Adapted, adapt
from paramcalc.model.architecture import Architecture
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
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def ranks(architecture: Architecture, settings: Settings) -> Iterator[Rank]:
    """Every kind of rank of the layout that a job asks for."""
    adapted = adapt(architecture, settings.method)
    if not adapted.trainable:
        raise UsageError(f"{settings.job.method} finds nothing to train in this architecture", place="method", hint="--method lora")
    yield single(architecture, settings, adapted)


def single(architecture: Architecture, settings: Settings, adapted: Adapted) -> Rank:
    """The only rank."""
    walk, tape = recorded(architecture, settings, adapted)
    inputs = 2 * 8 * tape.batch * tape.length
    passes = run_passes(walk.segments, policy_of(walk, settings, inputs))
    states = states_of(settings, adapted, inventory(architecture), weight_bytes(architecture, settings))
    return Rank("every device", states, passes, inputs, adapted.trainable, skipped=tuple(walk.skipped))


def recorded(architecture: Architecture, settings: Settings, adapted: Adapted) -> tuple[Walk, ModelTape]:
    """The forward pass of a rank's architecture on a tape."""
    job = settings.job
    length = settings.length
    if settings.method.name == "prompt":
        length += settings.method.virtual_tokens
    tape = ModelTape(job.batch_size, length, settings.recipe, adapted)
    needs = settings.adapted and (job.checkpointing == "full" or settings.method.name == "prompt")
    walk = Walk(
        architecture,
        tape,
        loss=job.loss,
        inputs_need_grad=needs,
        last_n=settings.method.last_n if settings.method.name == "last-n" else 0,
    )
    walk.record()
    return walk, tape


def policy_of(walk: Walk, settings: Settings, inputs: int) -> Policy:
    return Policy(
        checkpointing=settings.job.checkpointing == "full",
        loss=walk.loss_storages(),
        held=frozenset() if walk.logits is None or settings.job.loss == "fused" else frozenset({walk.logits.storage}),
        inputs=inputs,
        accumulated=settings.job.grad_accum > 1,
    )


def weight_bytes(architecture: Architecture, settings: Settings) -> int | None:
    """Bytes of a quantized base; None where it is not."""
    if settings.scheme.method == "none":
        return None
    from paramcalc.costs.quantization.held import total_bytes
    from paramcalc.costs.quantization.weights import weights_of

    return total_bytes(weights_of(architecture, settings.scheme, settings.recipe.weights))
