"""What of images and sound a sequence has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paramcalc.costs.terms import Input
from paramcalc.costs.training import checked
from paramcalc.model.architecture import Architecture
from paramcalc.model.blocks.convolution import Convolution
from paramcalc.model.blocks.head import Head
from paramcalc.model.parts import Group
from paramcalc.words.errors import UsageError

if TYPE_CHECKING:
    from paramcalc.costs.training.job import TrainingJob

IMAGE = (224, 224)
"""Height and width of an image where neither the input nor its family says, as the published preprocessors of such models have it."""


def image(architecture: Architecture) -> tuple[tuple[int, ...], list[Input]]:
    """The size of the images that a model begins with, or none; and what to say about those that it or a tower of it reads."""
    root = architecture.root
    towers = [part for part in root.parts.values() if isinstance(part, Group) and part.image]
    first = next(iter(root.parts.values()), None)
    if root.image is None and isinstance(first, Convolution) and len(first.axes) == len(IMAGE) and not isinstance(root.tokens, int):
        return IMAGE, [Input("image_size", _sides(IMAGE), "default")]
    sizes = [group.image for group in (root, *towers) if group.image]
    return tuple(root.image or ()), [Input("image_size", _sides(size), "read") for size in sizes]


def refuse_unknown_images(architecture: Architecture, job: TrainingJob) -> None:
    """Refuse images where what the model makes of them is not known."""
    if not job.images:
        return
    if architecture.model_type not in checked.PICTURES:
        raise UsageError(
            f"sequences with images are not modelled for {architecture.model_type or architecture.name}",
            place="images",
            hint="0 trains on text alone",
        )
    _refuse_virtual_tokens(job, "images")
    if job.pp > 1 or job.cp > 1 or job.sequence_parallel:
        raise UsageError("sequences with images are not modelled in a pipeline or in parts", place="images", hint="--zero 3 --dp, or --tp")


def _refuse_virtual_tokens(job: TrainingJob, beside: str) -> None:
    if job.method in ("prompt", "prefix"):
        raise UsageError(f"virtual tokens beside {beside} are not modelled", place="method", hint="--method lora")


def sound(architecture: Architecture, job: TrainingJob) -> tuple[tuple[int, ...], list[Input]]:
    """How many samples or frames a model hears. Nothing usual is known of how long the sound of a data set is."""
    if job.audio_seconds is None:
        raise UsageError(
            f"{architecture.name} hears sound of any length, and nothing says how much a sequence has",
            place="audio_seconds",
            hint="--audio-seconds 10",
        )
    _refuse_virtual_tokens(job, "sound")
    if job.cp > 1:
        raise UsageError("sound is not modelled in parts", place="cp", hint="--zero 3 --dp")
    if job.seq_len is None and aligns(architecture):
        raise UsageError(
            "the loss aligns labels with sound, and nothing says how many a sequence has", place="seq_len", hint="--seq-len 100"
        )
    frames = round(job.audio_seconds * (architecture.root.sound_rate or 0))
    return (max(1, frames),), []


def aligns(architecture: Architecture) -> bool:
    """Whether a loss aligns labels with frames: then a sequence has both."""
    return any(isinstance(block, Head) and block.ctc for block, _ in architecture.blocks())


def _sides(image: Sequence[int]) -> str:
    return " × ".join(map(str, image))


def refuse_unknown_sound(architecture: Architecture, job: TrainingJob) -> None:
    """Refuse a length of sound where the model hears none, or always the same."""
    if job.audio_seconds is not None and not architecture.root.sound_rate:
        raise UsageError(f"{architecture.name} hears no sound, or always the same length of it", place="audio_seconds", hint="leave it out")
