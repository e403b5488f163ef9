"""Which cards of the catalogue a model fits, to serve it, to train adapters of it, to train all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from paramcalc.costs.devices import Device
from paramcalc.costs.inference.job import InferenceJob
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.weighing import INFER, TRAIN, Job, Plan, budget, job_from, mode_of, weigh
from paramcalc.holdings.counts import identity
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError

METHODS = (("QLoRA", "qlora"), ("LoRA", "lora"), ("full", "full"))


class Use(NamedTuple):
    """One use of a model on one card."""

    name: str
    job: Job
    plan: Plan | None
    refusal: str
    """Why there is no plan."""
    fitting: tuple[Device, ...]
    """Smallest first."""

    def fits(self, device: Device) -> bool:
        return self.plan is not None and self.plan.total <= budget(device.capacity, self.plan)

    def to_dict(self) -> dict[str, Any]:
        plan = self.plan
        sizes = {"total": None, "low": None, "high": None} if plan is None else {"total": plan.total, "low": plan.low, "high": plan.high}
        return {
            "use": self.name,
            "mode": mode_of(self.job),
            "inputs": [] if plan is None else [each.to_dict() for each in plan.inputs],
            **sizes,
            "refusal": self.refusal or None,
            "gpus": [
                {"id": device.id, "headroom": budget(device.capacity, plan) - plan.total, "estimated": device.estimated}
                for device in self.fitting
                if plan is not None
            ],
        }


class Overview(NamedTuple):
    """Every use against every card."""

    architecture: Architecture
    devices: tuple[Device, ...]
    uses: tuple[Use, ...]

    @property
    def fits(self) -> bool:
        """Whether any card fits any use."""
        return any(use.fitting for use in self.uses)

    @property
    def warnings(self) -> list[str]:
        seen = [warning for use in self.uses if use.plan for warning in use.plan.warnings]
        return [*dict.fromkeys(seen), *(f"{use.name}: {use.refusal}" for use in self.uses if use.refusal)]

    def to_dict(self) -> dict[str, Any]:
        """The JSON of `paramcalc fit` without a card."""
        return {
            "schema": "paramcalc/fit/1",
            "model": identity(self.architecture),
            "fits": self.fits,
            "considered": len(self.devices),
            "uses": [use.to_dict() for use in self.uses],
            "warnings": self.warnings,
        }


def overview(architecture: Architecture, devices: Sequence[Device], options: Mapping[str, Any], mode: str | None = None) -> Overview:
    """Serve, QLoRA, LoRA and full training on one card each, with the options that belong to them. `mode` narrows to one kind,
    a `method` to that one. Raises UsageError for options that are unknown or of no use to any of them."""
    serving = {name: value for name, value in options.items() if name in InferenceJob._fields}
    training = {name: value for name, value in options.items() if name in TrainingJob._fields}
    for name in options:
        if name not in serving and name not in training:
            job_from({name: options[name]})  # says which options there are
    made: list[Use] = []
    if mode != TRAIN:
        made.append(_use("serve", architecture, job_from(serving, INFER), devices))
    if mode != INFER:
        asked = str(training.pop("method", ""))
        chosen = [(label, method) for label, method in METHODS if not asked or method == asked] or [(asked, asked)]
        for label, method in chosen:
            own = {name: value for name, value in training.items() if name != "quant" or method == "qlora" or asked}
            made.append(_use(label, architecture, job_from({**own, "method": method}, TRAIN), devices))
    return Overview(architecture, tuple(devices), tuple(made))


def _use(name: str, architecture: Architecture, job: Job, devices: Sequence[Device]) -> Use:
    try:
        plan = weigh(architecture, job)
    except UsageError as error:
        return Use(name, job, None, str(error).replace("\n  hint:", ";"), ())
    fitting = sorted(
        (device for device in devices if plan.total <= budget(device.capacity, plan)), key=lambda device: (device.capacity, device.id)
    )
    return Use(name, job, plan, "", tuple(fitting))
