"""paramcalc infer"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paramcalc.costs.inference.job import OPTIONS, InferenceJob
from paramcalc.costs.inference.plan import plan_inference
from paramcalc.face.cli.answer import Answer, respond
from paramcalc.face.cli.options import AssumeOption, Format, FormatOption, Models, OutputOption, SetOption, StrictOption, stated
from paramcalc.gate.load import load

if TYPE_CHECKING:
    from paramcalc.costs.inference.plan import InferencePlan
    from paramcalc.face.render.view import View


def run(
    call: typer.Context,
    models: Models,
    engine: Annotated[str | None, typer.Option("--engine", help="transformers, vllm, llama.cpp, or ideal.")] = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="What is computed in: fp32, fp16, bf16, fp8.")] = None,
    quant: Annotated[str | None, typer.Option("--quant", help="Format of the weights: int8, nf4, gptq, fp8, Q4_K_M, ...")] = None,
    bits: Annotated[int | None, typer.Option("--bits", help="Bits of gptq and awq.")] = None,
    group_size: Annotated[int | None, typer.Option("--group-size", help="Group size of gptq and awq; -1 for a whole row.")] = None,
    quant_all: Annotated[bool, typer.Option("--quant-all", help="Quantize embeddings, norms and head too.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences held at once.")] = 1,
    context: Annotated[int | None, typer.Option("--context", "--max-model-len", help="Tokens of each; the model's own context.")] = None,
    prompt: Annotated[int | None, typer.Option("--prompt", help="Tokens of the prompt, if it is shorter than the context.")] = None,
    source: Annotated[int | None, typer.Option("--source", help="Tokens that an encoder-decoder's encoder reads.")] = None,
    kv_dtype: Annotated[str | None, typer.Option("--kv-dtype", metavar="FORMAT[,FORMAT]", help="Format of keys and values.")] = None,
    state_dtype: Annotated[str | None, typer.Option("--state-dtype", help="vllm: format of recurrent states.")] = None,
    cache: Annotated[str | None, typer.Option("--cache", help="transformers: dynamic or static.")] = None,
    attention: Annotated[str | None, typer.Option("--attention", help="sdpa, eager or flash.")] = None,
    tp: Annotated[int, typer.Option("--tp", help="Tensor-parallel ranks.")] = 1,
    pp: Annotated[int, typer.Option("--pp", help="Pipeline stages.")] = 1,
    ep: Annotated[int, typer.Option("--ep", help="Expert-parallel ranks.")] = 1,
    gpu: Annotated[str | None, typer.Option("--gpu", help="A device: says what is left of it.")] = None,
    gpu_memory_utilization: Annotated[
        float | None, typer.Option("--gpu-memory-utilization", help="vllm: share of the device that it takes.")
    ] = None,
    ubatch: Annotated[int | None, typer.Option("--ubatch", help="Tokens computed at once: llama.cpp 512, vllm 2048.")] = None,
    slots: Annotated[int | None, typer.Option("--slots", help="Sequences that the engine prepares for.")] = None,
    strict: StrictOption = False,
    assume: AssumeOption = None,
    override: SetOption = None,
    form: FormatOption = Format.table,
    output: OutputOption = None,
) -> None:
    """Inference memory in detail, per device: weights, caches as needed and as reserved, activations, overhead."""
    job = InferenceJob(
        engine=engine, dtype=dtype, quant=quant, bits=bits, group_size=group_size, quant_all=quant_all, batch_size=batch_size,
        context=context, prompt=prompt, source=source, kv_dtype=kv_dtype, state_dtype=state_dtype, cache=cache, attention=attention,
        tp=tp, pp=pp, ep=ep, gpu=gpu, gpu_memory_utilization=gpu_memory_utilization, ubatch=ubatch, slots=slots,
        stated=stated(call, OPTIONS),
    )  # fmt: skip

    def ask(name: str) -> Answer:
        plan = plan_inference(load(name, strict=strict, assume=assume, overrides=override or ()), job)
        return Answer(plan.to_dict, lambda: _view(plan), plan.warnings)

    respond("infer", models, ask, form, output)


def _view(plan: InferencePlan) -> View:
    from paramcalc.face.render.memory import inference_view

    return inference_view(plan)
