"""What stays from step to step on one rank: weights, adapters, master copies, gradients, optimizer state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from paramcalc.costs.training.autograd import BYTES
from paramcalc.costs.training.job import Settings
from paramcalc.costs.training.optimizers import Optimizer, Tensor, elements, optimizer_named, whole
from paramcalc.holdings.trainable import Adapted
from paramcalc.model.rows import EMBEDDING, Row


class States(NamedTuple):
    """Bytes on one rank."""

    weights: int
    adapters: int
    master: int
    gradients: int
    optimizer: int
    """With the moving average."""
    average: int
    """What of it is a moving average of the parameters, there before the first step."""
    step: int
    """Workspace of the optimizer."""
    buckets: int
    """Copies of gradients that data parallelism reduces."""
    trained: int
    """Parameters that train."""
    parameters: int
    """Parameters of the base."""


def states_of(settings: Settings, adapted: Adapted, rows: Iterable[Row], weight_bytes: int | None = None) -> States:
    """States of a rank that holds these rows. `weight_bytes` where the base is quantized."""
    rows = list(rows)
    job = settings.job
    trained_copies = {(row.part, row.name): row.repeat for row in adapted.trained}
    own = [row._replace(repeat=min(row.repeat, copies)) for row in rows if (copies := trained_copies.get((row.part, row.name)))]
    size = BYTES[settings.recipe.weights]
    parameters = sum(row.total for row in rows)
    base = [_tensor(row, size) for row in own if not row.tied]
    added = [_tensor(row, BYTES[settings.recipe.adapters]) for row in adapted.added]
    trained = [*base, *added]
    optimizer = optimizer_named(job.optimizer)
    stepped = [tensor._replace(element_bytes=4) for tensor in trained] if settings.master else trained
    gradients = 4 * elements(trained) if settings.main_gradients else whole(trained)
    average = whole(stepped) if job.ema else 0
    return States(
        weights=parameters * size if weight_bytes is None else weight_bytes,
        adapters=whole(added),
        master=4 * elements(trained) if settings.master else 0,
        gradients=gradients,
        optimizer=optimizer.state(stepped) + average,
        average=average,
        step=optimizer.workspace(stepped),
        buckets=gradients if job.dp > 1 and not job.zero else 0,
        trained=elements(trained),
        parameters=parameters,
    )


def optimizer_of(settings: Settings) -> Optimizer:
    return optimizer_named(settings.job.optimizer)


def _tensor(row: Row, size: int) -> Tensor:
    shape = tuple(int(length) for length in row.shape)
    return Tensor(row.elements, row.repeat, size, shape, embedding=row.kind == EMBEDDING, head=row.role == "head")


def replicas(settings: Settings, rows: Sequence[Row]) -> Fraction:
    """Ranks that hold the same parameters and can share their states, by size: all data-parallel ones for most; an expert is on
    one of `ep` of the data- and tensor-parallel ranks together (Megatron-LM's expert data parallelism)."""
    job = settings.job
    every, experts = sum(row.total for row in rows), sum(row.total for row in rows if row.experts is not None)
    if job.ep == 1 or not experts:
        return Fraction(job.dp)
    return 1 / (Fraction(every - experts, every * job.dp) + Fraction(experts * job.ep, every * job.dp * job.tp))


def shared(states: States, settings: Settings, ranks: Fraction) -> tuple[States, int]:
    """What is left on a rank where states are sharded over so many data-parallel ranks or offloaded, and the host's bytes."""
    job = settings.job

    def part(size: int, stage: int) -> int:
        return -(-size // ranks) if job.zero >= stage else size

    left = states._replace(
        weights=part(states.weights, 3),
        adapters=part(states.adapters, 3),
        gradients=part(states.gradients, 2),
        master=part(states.master, 1),
        optimizer=part(states.optimizer, 1),
        average=part(states.average, 1),
        step=part(states.step, 1),
    )
    host = 0
    if job.offload is not None:
        host += left.optimizer + left.master + left.gradients
        left = left._replace(optimizer=0, average=0, master=0, step=0)
    if job.offload == "params":
        host += left.weights + left.adapters
        left = left._replace(weights=0, adapters=0)
    return left, host
