"""What a caller hands to a model that looks no tokens up: features, frames of sound, images."""

from __future__ import annotations

from paramcalc.costs.training.model_tape import ModelTape
from paramcalc.model.blocks.convolution import Convolution
from paramcalc.model.blocks.dense import Dense
from paramcalc.model.blocks.feed_forward import FeedForward
from paramcalc.model.blocks.norm import Norm
from paramcalc.model.blocks.recurrent import Recurrent
from paramcalc.model.blocks.tensor import Tensor
from paramcalc.model.parts import Block, Group, Place
from paramcalc.model.tape import Value
from paramcalc.words.errors import UsageError


def given(tape: ModelTape, block: Block, place: Place, group: Group) -> Value:
    """The input of the block with which a model, or a tower of it, begins: one row a token, the pixels of an image, or as many frames
    as make the tokens of a convolution. Raises UsageError for anything else."""
    if len(place.image) == 1 and isinstance(block, Convolution | Dense | Norm):
        sound = tape.pixels(width_read(block, place), place.image)
        sound.needs_grad = isinstance(block, Convolution) and block.input_grad
        return sound
    if isinstance(block, Dense | FeedForward | Recurrent):
        return tape.features(int(block.inputs or place.width))
    if isinstance(block, Convolution):
        channels = int(block.inputs or place.width)
        if place.image and len(block.axes) == len(place.image):
            return tape.pixels(channels, place.image)
        if isinstance(place.tokens, int) and block.divides:
            return tape.features(channels, (place.tokens - beside(group)) * block.strides)
    raise no_input(place)


def width_read(block: Convolution | Dense | Norm, place: Place) -> int:
    return int((block.size if isinstance(block, Norm) else block.inputs) or place.width)


def beside(group: Group) -> int:
    """Tokens of a stream that are not made of its input (class tokens)."""
    return sum(each.shape[-2] for each in group.parts.values() if isinstance(each, Tensor) and each.joins and len(each.shape) > 1)


def no_input(place: Place) -> UsageError:
    return UsageError(
        f"the input of {place.part}, where the model begins, is not known",
        place="model",
        hint="count and infer know this architecture; train does not yet",
    )
