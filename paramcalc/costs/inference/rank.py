"""What an engine is asked about: one rank of one stage, under one job."""

from __future__ import annotations

from typing import NamedTuple

from paramcalc.costs.inference.job import Settings
from paramcalc.costs.inference.sharding import Stage
from paramcalc.costs.inference.widths import Logits, Network, logits, networks
from paramcalc.model.architecture import Architecture
from paramcalc.model.rows import CacheRow


class Rank(NamedTuple):
    """One rank of a stage."""

    stage: Stage
    settings: Settings
    architecture: Architecture

    @property
    def model_type(self) -> str:
        return self.architecture.model_type or ""

    @property
    def caches(self) -> list[CacheRow]:
        return self.stage.caches

    @property
    def networks(self) -> list[Network]:
        return networks(self.stage, self.settings.tp)

    @property
    def logits(self) -> Logits | None:
        return logits(self.stage)
