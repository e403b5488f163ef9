"""Residual streams that run in parallel and are mixed around each block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from paramcalc.model.parts import Block, Count, Place
from paramcalc.model.rows import WEIGHT, Row
from paramcalc.words.sizes import Size


class HyperConnection(Block):
    """Maps that read all `streams` of a token, side by side, and say how a block takes from them and gives back to them
    (hyper-connections, Zhu et al. 2024; manifold-constrained, Xie et al. 2025).

    Weights: fn [maps, streams·width], base [maps], scale, one number for each sort of map. Sorts: what goes in
    (`streams` maps), what comes out (`streams`), and how streams mix (streams²).
    """

    home: ClassVar[str] = "other"

    streams: Count
    maps: Literal["in", "in_out", "in_out_mix"] = "in_out_mix"

    def parameters(self, at: Place) -> Iterator[Row]:
        streams = self.sized.streams
        sorts = self.maps.count("_") + 1
        maps: Size = {1: streams, 2: 2 * streams, 3: (streams + 2) * streams}[sorts]
        yield Row("fn", (maps, streams * at.width), WEIGHT, role="fn")
        yield Row("base", (maps,), WEIGHT, role="base")
        yield Row("scale", (Size(sorts),), WEIGHT, role="scale")
