"""A job on the cards that there are: the layout that was asked for, or the one that is usual."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.layouts import FIELDS, NODE, Divisible, Layout, devices_of, divisors
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import Job, needs_architecture, weigh
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError


class Placed(NamedTuple):
    """A job with its layout, and how many cards that takes."""

    job: Job
    cards: int
    usual: bool = False
    """Whether nobody asked for this layout."""


def placed(architecture: Architecture, job: Job, cards: int | None, given: Collection[str] = ()) -> Placed:
    """Put a job on so many cards; on as many as its layout takes, where None.

    Where no option of `given` says how, training is sharded whole (ZeRO 3, which is FSDP's full shard), vLLM and `ideal`
    divide tensors within a node and layers beyond, transformers (`device_map`) and llama.cpp divide layers.
    Raises UsageError where the layout takes another number of cards, or nothing can be divided.
    """
    asked = [name for name in FIELDS if name in given]
    if (cards or devices_of(job)) > 1:
        needs_architecture(architecture, "nothing says how it divides")
    if cards is None:
        return Placed(job, devices_of(job))
    if not asked:
        return Placed(_usual(architecture, job, cards), cards, usual=cards > 1)
    if isinstance(job, TrainingJob) and "dp" not in given and cards % (job.tp * job.pp * job.cp) == 0:
        job = job._replace(dp=cards // (job.tp * job.pp * job.cp))
    taken = devices_of(job)
    if taken != cards:
        layout = Layout(**{name: getattr(job, name) for name in FIELDS if hasattr(job, name)}).text
        raise UsageError(f"{layout} takes {taken:,} cards, and there are {cards:,}", place="gpus", hint="leave out one of the two")
    return Placed(job, cards)


def _usual(architecture: Architecture, job: Job, cards: int) -> Job:
    if cards == 1:
        return job
    if isinstance(job, TrainingJob):
        return job._replace(dp=cards, zero=3)
    for tp, pp in _ways(Divisible(architecture, job), cards, _engine(architecture, job)):
        made = job._replace(tp=tp, pp=pp)
        try:
            weigh(architecture, made)
        except UsageError:
            continue
        return made
    raise UsageError(
        f"one copy of this model cannot be spread evenly over {cards:,} cards",
        place="gpus",
        hint="paramcalc plan shows layouts and replicas; --tp and --pp ask for one",
    )


def _ways(able: Divisible, cards: int, engine: str) -> Iterator[tuple[int, int]]:
    """(tp, pp) in the order in which an engine would be set up."""
    by_layers = engine in ("transformers", "llama.cpp")
    for tp in divisors(cards) if by_layers else reversed([way for way in divisors(cards) if way <= NODE]):
        if able.tensor(tp) and cards // tp <= max(1, able.layers):
            yield tp, cards // tp


def _engine(architecture: Architecture, job: InferenceJob) -> str:
    settings: Any = getattr(weigh(architecture, job._replace(tp=1, pp=1, ep=1)), "settings", None)
    return "transformers" if settings is None else str(settings.engine)
