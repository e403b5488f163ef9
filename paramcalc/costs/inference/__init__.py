"""What a model takes to run: weights, caches, activations and overhead of one device, engine by engine.

`plan_inference(architecture, InferenceJob(...))` answers with an `InferencePlan`. `job` holds the options and their checks,
`sharding` what one rank of one pipeline stage holds, `caches` what decoding remembers, `widths` how wide a layer gets while
it computes, `overheads` what somebody weighed; each engine is a module of `engines`.
"""

from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.inference.plan import InferencePlan, plan_inference

__all__ = ["InferenceJob", "InferencePlan", "plan_inference"]
