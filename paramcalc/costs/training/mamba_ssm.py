"""What state spaces keep where transformers finds mamba-ssm and causal-conv1d installed."""

from __future__ import annotations

from paramcalc.costs.training.model_tape import ModelTape


class MambaTape(ModelTape):
    """Records the kernels that Mamba and Mamba-2 say for themselves. What those keep is read from mamba-ssm 2.3; nothing was run."""

    packages = True
