"""paramcalc train"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.costs.training.job import OPTIONS, TrainingJob
from paramcalc.costs.training.plan import TrainingPlan, plan_training
from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Model, OutputOption, SetOption, StrictOption, stated
from paramcalc.gate.load import load

if TYPE_CHECKING:
    from paramcalc.face.render.view import View

OF = TrainingJob()
"""The defaults of every option."""


def run(
    call: typer.Context,
    model: Model,
    method: Annotated[
        str, typer.Option("--method", help="full, lora, qlora, dora, adapter, prompt, prefix, ia3, bitfit or last-n.")
    ] = OF.method,
    lora_r: Annotated[int, typer.Option("--lora-r", help="Rank of LoRA and DoRA.")] = OF.lora_r,
    lora_targets: Annotated[str | None, typer.Option("--lora-targets", help="Modules, `attention` or `all-linear`.")] = None,
    lora_dropout: Annotated[float, typer.Option("--lora-dropout", help="Dropout before LoRA's matrices.")] = OF.lora_dropout,
    adapter_dtype: Annotated[str | None, typer.Option("--adapter-dtype", help="fp32 (PEFT's default) or bf16.")] = None,
    adapter_size: Annotated[int, typer.Option("--adapter-size", help="Bottleneck width of adapters.")] = OF.adapter_size,
    virtual_tokens: Annotated[int, typer.Option("--virtual-tokens", help="Tokens of prompt and prefix tuning.")] = OF.virtual_tokens,
    last_n: Annotated[int, typer.Option("--last-n", help="Layers that last-n trains.")] = OF.last_n,
    quant: Annotated[str | None, typer.Option("--quant", help="Format of a frozen base: nf4, nf4-dq, int8, gptq, ...")] = None,
    bits: Annotated[int | None, typer.Option("--bits", help="Bits of gptq or awq.")] = None,
    group_size: Annotated[int | None, typer.Option("--group-size", help="Group of gptq or awq.")] = None,
    prepare_kbit: Annotated[bool, typer.Option("--prepare-kbit", help="What is not quantized becomes fp32.")] = False,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, bf16, bf16-mixed, fp16-mixed, bf16-master, fp16-master or megatron.")
    ] = OF.precision,
    autocast: Annotated[bool, typer.Option("--autocast", help="A bf16 base under autocast.")] = False,
    optimizer: Annotated[
        str, typer.Option("--optimizer", help="adamw, adamw-fused, adamw-8bit, adafactor, sgd, lion, muon, ...")
    ] = OF.optimizer,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences per device.")] = OF.batch_size,
    seq_len: Annotated[int | None, typer.Option("--seq-len", help="Tokens of a sequence.")] = None,
    audio_seconds: Annotated[float | None, typer.Option("--audio-seconds", help="Sound in a sequence, for speech encoders.")] = None,
    images: Annotated[int, typer.Option("--images", help="Images in a sequence; their tokens are part of it.")] = OF.images,
    grad_accum: Annotated[int, typer.Option("--grad-accum", help="Micro-batches before a step.")] = OF.grad_accum,
    checkpointing: Annotated[str, typer.Option("--checkpointing", help="none, selective or full.")] = OF.checkpointing,
    attention: Annotated[str, typer.Option("--attention", help="eager, sdpa or flash.")] = OF.attention,
    loss: Annotated[str, typer.Option("--loss", help="plain, fused or chunked.")] = OF.loss,
    stack: Annotated[
        str, typer.Option("--stack", help="transformers, fla, mamba-ssm or megatron: whose kernels keep activations.")
    ] = OF.stack,
    zero: Annotated[int, typer.Option("--zero", help="ZeRO stage 0 to 3; FSDP's full shard is 3.")] = OF.zero,
    dp: Annotated[int, typer.Option("--dp", help="Data parallel ranks.")] = OF.dp,
    tp: Annotated[int, typer.Option("--tp", help="Tensor parallel ranks.")] = OF.tp,
    pp: Annotated[int, typer.Option("--pp", help="Pipeline stages.")] = OF.pp,
    ep: Annotated[int, typer.Option("--ep", help="Expert parallel ranks.")] = OF.ep,
    cp: Annotated[int, typer.Option("--cp", help="Context parallel ranks.")] = OF.cp,
    sequence_parallel: Annotated[bool, typer.Option("--sequence-parallel", help="Divide norms and dropouts by tokens too.")] = False,
    virtual_stages: Annotated[int, typer.Option("--virtual-stages", help="Chunks of layers per pipeline stage.")] = OF.virtual_stages,
    offload: Annotated[str | None, typer.Option("--offload", help="optimizer or params, to the host.")] = None,
    ema: Annotated[bool, typer.Option("--ema", help="Keep a moving average of what trains.")] = False,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Training memory in detail, per device and per phase."""
    given = locals()
    job = TrainingJob(**{option: given[option] for option in OPTIONS}, stated=stated(call, OPTIONS))

    def ask(name: str) -> Answer:
        plan = plan_training(load(name, strict=strict, assume=assume, overrides=override or ()), job)
        return Answer(plan.to_dict, lambda: _view(plan), plan.warnings)

    respond("train", [model], ask, form, output)


def _view(plan: TrainingPlan) -> View:
    from paramcalc.face.render.training import training_view

    return training_view(plan)
