"""Pairs of an image and a text, each told from all others of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import BIAS, WEIGHT, Row, linear
from paramcalc.words.sizes import Size

if TYPE_CHECKING:
    from paramcalc.model.tape import Tape, Value


class Contrast(Block):
    """Similarities of all images and all texts of a batch (CLIP, Radford et al. 2021, Figure 3; SigLIP, Zhai et al. 2023,
    Algorithm 1): the cosine of two vectors times the exponential of a learned scale.

    Weights: image_proj [size, image], text_proj [size, text] where there is a shared space of `size` dims; logit_scale, and
    logit_bias [1] where `loss` is the sigmoid. The loss tells pairs apart by a softmax over each row and column, or each one by
    itself by a sigmoid.
    """

    home: ClassVar[str] = "other"

    loss: Literal["softmax", "sigmoid"] = "softmax"
    size: Count | None = None
    """Dims of the shared space; none where the vectors are compared as they are."""
    image: Count | None = None
    text: Count | None = None
    """Widths of the two vectors; the stream's if left out."""

    def parameters(self, at: Place) -> Iterator[Row]:
        for name, inputs in (("image", self.image), ("text", self.text)):
            if self.size:
                read = Size(inputs, name) if inputs else at.width
                yield from linear(f"{name}_proj", self.sized.size, read, component="projection")
        shape = (1,) if self.loss == "sigmoid" else ()
        yield Row("logit_scale", shape, WEIGHT)
        if self.loss == "sigmoid":
            yield Row("logit_bias", (1,), BIAS)

    def forward(self, tape: Tape, x: Value, at: Place) -> Value:
        """Logits of each text (the source) for each image (the stream)."""
        if tape.source is None or x.tokens != tape.batch or tape.source.tokens != tape.batch:
            raise NotImplementedError("towers that do not both end in one vector")
        image, text = self._projected(tape, "image_proj", x), self._projected(tape, "text_proj", tape.source)
        image, text = self._normalized(tape, image), self._normalized(tape, text)
        cosines = tape.product(text, image, image.tokens)
        scale = tape.unary("exp", tape.weight("logit_scale"))
        if self.loss == "softmax":
            return tape.times(cosines, scale)
        return tape.add(tape.multiply(cosines, scale), tape.weight("logit_bias"))

    def _projected(self, tape: Tape, name: str, x: Value) -> Value:
        return tape.linear(name, x) if self.size else x

    def _normalized(self, tape: Tape, x: Value) -> Value:
        """x over its length: the framework's own norm (SigLIP), or one written out (CLIP)."""
        if self.loss == "sigmoid":
            return tape.divide(x, tape.vector_norm(x))
        return tape.divide(x, tape.unary("power", tape.mean(tape.unary("power", x))))
