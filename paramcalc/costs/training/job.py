"""What training is asked for, and what follows: every option checked, every default taken and named."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.costs.quantization.scheme import NONE, Scheme, scheme_named
from paramcalc.costs.terms import Input
from paramcalc.costs.training import checked
from paramcalc.costs.training.kernels import IMPLEMENTATIONS, SDPA
from paramcalc.costs.training.loss import LOSSES
from paramcalc.costs.training.model_tape import Recipe
from paramcalc.costs.training.optimizers import OPTIMIZERS, optimizer_named
from paramcalc.costs.training.senses import aligns, image, refuse_unknown_images, refuse_unknown_sound, sound
from paramcalc.holdings.trainable import ALIASES, METHODS, Method
from paramcalc.model.architecture import Architecture
from paramcalc.model.blocks.dense import Dense
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.sizes import MAX_SIZE

GIVEN, READ, DEFAULT = "given", "read", "default"
LENGTH = 2048
"""Tokens of a sequence where nothing says; the model's own context where that is shorter."""
MOST_SECONDS = 86_400
"""Of sound in a sequence: a day."""
PRECISIONS: dict[str, tuple[str, str | None]] = {
    "fp32": ("fp32", None),
    "bf16": ("bf16", None),
    "bf16-mixed": ("fp32", "bf16"),
    "fp16-mixed": ("fp32", "fp16"),
    "bf16-master": ("bf16", None),
    "fp16-master": ("fp16", None),
    "megatron": ("bf16", None),
}
"""Format of the weights, and the low format of autocast. `bf16-master` and `fp16-master` step fp32 copies of the weights (DeepSpeed);
`megatron` does too, and adds gradients up in fp32 buffers that stand from step to step."""
CARRYING = ("linear_attention", "recurrent", "state_space")
"""Components of blocks whose tokens need the state that those before them leave behind."""
MASTERS = ("bf16-master", "fp16-master", "megatron")
TRANSFORMERS, FLA, MAMBA, MEGATRON = STACKS = ("transformers", "fla", "mamba-ssm", "megatron")
"""Whose operations and kernels a model is trained with: what is kept for the backward pass depends on them."""
CHECKPOINTING = ("none", "selective", "full")
OFFLOADS = ("optimizer", "params")
ADAPTED = ("lora", "dora", "ia3", "prompt", "prefix", "adapter")
"""Methods that freeze the base and add to it."""


class TrainingJob(NamedTuple):
    """The options of `paramcalc train`. None is "not given": then the input decides, or the default that `settle` names."""

    method: str = "full"
    lora_r: int = 8
    lora_targets: str | None = None
    """Module names of the reference implementation, `attention`, `all-linear`, or a pattern; PEFT's choice if None."""
    lora_dropout: float = 0.0
    adapter_dtype: str | None = None
    """fp32, PEFT's default, whatever the base is in."""
    adapter_size: int = 64
    """Bottleneck of Houlsby adapters."""
    virtual_tokens: int = 20
    """Of prompt and prefix tuning."""
    last_n: int = 1
    """Layers that `last-n` trains."""
    quant: str | None = None
    """Format of a frozen base; the input's `quantization_config`, `nf4-dq` for qlora, else none."""
    bits: int | None = None
    group_size: int | None = None
    prepare_kbit: bool = False
    """Whether what is not quantized becomes fp32 (PEFT's `prepare_model_for_kbit_training`)."""
    precision: str = "bf16"
    autocast: bool = False
    """A bf16 base under autocast, as a trainer does with LoRA."""
    optimizer: str = "adamw"
    batch_size: int = 1
    """Sequences per device and micro-batch."""
    seq_len: int | None = None
    audio_seconds: float | None = None
    """Of sound in a sequence, for a model that hears any length of it."""
    images: int = 0
    """In every sequence, of the size that the config says; the tokens that stand for them are part of `seq_len`."""
    grad_accum: int = 1
    """Micro-batches before a step."""
    checkpointing: str = "none"
    attention: str = SDPA
    loss: str = "plain"
    stack: str = TRANSFORMERS
    zero: int = 0
    """Stage of ZeRO; 3 is FSDP's full shard."""
    dp: int = 1
    tp: int = 1
    pp: int = 1
    ep: int = 1
    cp: int = 1
    sequence_parallel: bool = False
    virtual_stages: int = 1
    """Chunks of layers that each pipeline stage holds (interleaved schedule)."""
    offload: str | None = None
    ema: bool = False
    """Whether an exponential moving average of what trains is kept beside it."""
    stated: frozenset[str] = frozenset()
    """Options that somebody gave, be it with the default's value. No option itself."""

    @classmethod
    def of(cls, **options: Any) -> TrainingJob:
        """The job of options that somebody gave."""
        return cls(**options, stated=frozenset(options))


OPTIONS = tuple(name for name in TrainingJob._fields if name != "stated")


class Settings(NamedTuple):
    """A job with everything decided."""

    job: TrainingJob
    method: Method
    recipe: Recipe
    scheme: Scheme
    length: int
    inputs: tuple[Input, ...]
    warnings: tuple[str, ...]
    image: tuple[int, ...] = ()
    """Height and width of the images that the model itself begins with, if it does."""

    @property
    def adapted(self) -> bool:
        """Whether the base is frozen and something is added to it."""
        return self.method.name in ADAPTED

    @property
    def master(self) -> bool:
        """Whether the optimizer steps fp32 copies of the weights."""
        return self.job.precision in MASTERS

    @property
    def main_gradients(self) -> bool:
        """Whether gradients are added up in fp32 buffers of their own."""
        return self.job.precision == "megatron"

    @property
    def devices(self) -> int:
        job = self.job
        return job.dp * job.tp * job.pp * job.cp


def settle(job: TrainingJob, architecture: Architecture) -> Settings:
    """Check a job against an architecture and take every default. Raises UsageError."""
    if architecture.reported:
        raise UsageError(f"{architecture.name} is a reported size without an architecture: there is nothing to train", place="model")
    _numbers(job)
    _words(job)
    name = ALIASES.get(job.method, job.method)
    method = Method(name, job.lora_r, job.lora_targets, job.adapter_size, job.virtual_tokens, job.last_n)
    scheme, scheme_from = _scheme(job, architecture)
    _fits_together(job, name, scheme)
    weights, low = PRECISIONS[job.precision]
    adapters = job.adapter_dtype or "fp32"
    if job.autocast:
        low = low or "bf16"
    _suits(job, architecture)
    recipe = Recipe(
        weights="fp32" if job.prepare_kbit and scheme.method != "none" else weights,
        autocast=low,
        quantized=scheme.method != "none",
        quantized_keeps_input=scheme.keeps_input,
        compute=low or ("bf16" if weights == "fp32" else weights),
        implementation=job.attention,
        adapters="fp32" if weights == "fp32" else adapters,
        adapter_dropout=job.lora_dropout,
        selective=job.checkpointing == "selective",
    )
    fixed = architecture.root.tokens
    length = fixed if isinstance(fixed, int) else job.seq_len or _length(architecture)
    refuse_unknown_images(architecture, job)
    refuse_unknown_sound(architecture, job)
    size, senses = sound(architecture, job) if architecture.root.sound_rate else image(architecture)
    warnings = []
    if job.seq_len and job.seq_len != length:
        warnings.append(f"the model takes {length:,} tokens, whatever seq_len says")
    if architecture.context and length > architecture.context:
        warnings.append(f"{length:,} tokens are more than the {architecture.context:,} that the model was made for")
    shown = [row for row in _inputs(job, length, scheme, scheme_from) if row.name != "seq_len" or not size or aligns(architecture)]
    if architecture.model_type not in checked.PICTURES:
        shown = [row for row in shown if row.name != "images"]
    return Settings(job, method, recipe, scheme, length, (*shown, *senses), tuple(warnings), size)


def _suits(job: TrainingJob, architecture: Architecture) -> None:
    """Refuse kernels that no layer is computed by, and tokens divided where layers need those before them."""
    blocks = [block for block, _ in architecture.blocks()]
    if job.stack == FLA:
        _has_kernels(architecture)
    if job.stack == MAMBA and not any(block.packaged for block in blocks):
        hint = "leave --stack out"
        raise UsageError(f"no layer of {architecture.name} is computed by mamba-ssm in a way that is known", place="stack", hint=hint)
    if job.cp > 1 and any(type(block).home in CARRYING for block in blocks):
        what = "context parallelism of layers that carry a state from token to token"
        raise UsageError(f"{what} is not modelled", place="cp", hint="--zero 3 --dp")


def _has_kernels(architecture: Architecture) -> None:
    """Refuse kernels of flash-linear-attention where no layer is computed by them, or some by those of other packages."""
    packages = {block.packages for block, _ in architecture.blocks() if block.packages}
    if not packages:
        hint = "leave --stack out"
        raise UsageError(f"no layer of {architecture.name} is computed by flash-linear-attention", place="stack", hint=hint)
    if others := sorted(each for each in packages if "flash-linear-attention" not in each):
        raise UsageError(f"layers as {others[0]} computes them are not modelled", place="stack", hint="leave --stack out")


def _length(architecture: Architecture) -> int:
    """Tokens of a sequence where none are given: one row of features, or its context."""
    if isinstance(next(iter(architecture.root.parts.values()), None), Dense):
        return 1
    return min(LENGTH, architecture.context or LENGTH)


def _inputs(job: TrainingJob, length: int, scheme: Scheme, scheme_from: str) -> list[Input]:
    """Every setting with where it is from; those that do not apply are left out."""
    unused = {"bits", "group_size"} | (set() if scheme.method != "none" else {"prepare_kbit"})
    name = ALIASES.get(job.method, job.method)
    if name not in ("lora", "dora"):
        unused |= {"lora_r", "lora_dropout"}
    if name not in ("lora", "dora", "ia3"):
        unused.add("lora_targets")
    unused |= {
        field
        for field, needed in (("adapter_size", ("adapter",)), ("virtual_tokens", ("prompt", "prefix")), ("last_n", ("last-n",)))
        if name not in needed
    }
    if name not in ADAPTED:
        unused.add("adapter_dtype")
    shown = []
    for field in OPTIONS:
        value: Any = getattr(job, field)
        origin = GIVEN if field in job.stated or value != TrainingJob._field_defaults[field] else DEFAULT
        if field == "seq_len":
            value = length
        elif field == "quant":
            value, origin = scheme.name, scheme_from
        elif field == "adapter_dtype":
            value = value or "fp32"
        if field not in unused and value is not None:
            shown.append(Input(field, value, origin))
    return shown


def _numbers(job: TrainingJob) -> None:
    """Counts are whole and positive."""
    for name in ("batch_size", "seq_len", "grad_accum", "dp", "tp", "pp", "ep", "cp", "virtual_stages", "lora_r", "last_n"):
        value = getattr(job, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
            raise UsageError(f"expected a whole number of at least 1, got {value!r:.40}", place=name)
    if isinstance(job.images, bool) or not isinstance(job.images, int) or not 0 <= job.images <= MAX_SIZE:
        raise UsageError(f"expected a whole number of at least 0, got {job.images!r:.40}", place="images")
    seconds = job.audio_seconds
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MOST_SECONDS):
        raise UsageError(f"expected seconds, more than 0 and at most {MOST_SECONDS:,}, got {seconds!r:.40}", place="audio_seconds")
    if isinstance(job.zero, bool) or job.zero not in (0, 1, 2, 3):
        raise UsageError(f"expected a stage from 0 to 3, got {job.zero!r:.40}", place="zero")
    share = job.lora_dropout
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise UsageError(f"expected a share from 0 up to 1, got {share!r:.40}", place="lora_dropout")


def _words(job: TrainingJob) -> None:
    """Names are known ones."""
    known = {
        "method": METHODS,
        "precision": PRECISIONS,
        "checkpointing": CHECKPOINTING,
        "attention": IMPLEMENTATIONS,
        "loss": LOSSES,
        "stack": STACKS,
        "optimizer": OPTIMIZERS,
    }
    for name, words in known.items():
        value = getattr(job, name)
        if value not in words:
            hint = did_you_mean(str(value), words) or f"one of {', '.join(words)}"
            raise UsageError(f"unknown {name}: {value!r:.60}", place=name, hint=hint)
    if job.offload is not None and job.offload not in OFFLOADS:
        raise UsageError(f"unknown offload: {job.offload!r:.60}", place="offload", hint=f"one of {', '.join(OFFLOADS)}")
    if job.adapter_dtype not in (None, "fp32", "bf16"):
        raise UsageError(f"unknown adapter_dtype: {job.adapter_dtype!r:.60}", place="adapter_dtype", hint="fp32 or bf16")
    optimizer_named(job.optimizer)


def _scheme(job: TrainingJob, architecture: Architecture) -> tuple[Scheme, str]:
    if job.quant is not None:
        return scheme_named(job.quant, bits=job.bits, group_size=job.group_size), GIVEN
    for option in ("bits", "group_size"):
        if getattr(job, option) is not None:
            raise UsageError(f"{option} belongs to a format of weights", place=option, hint="give --quant gptq or --quant awq")
    if architecture.quantization:
        from paramcalc.costs.quantization.configs import scheme_from_config

        return scheme_from_config(architecture.quantization), READ
    return (scheme_named("nf4-dq"), DEFAULT) if job.method == "qlora" else (NONE, DEFAULT)


def _fits_together(job: TrainingJob, method: str, scheme: Scheme) -> None:
    """Refuse what cannot be trained, with the nearest thing that can."""
    quantized = scheme.method != "none"
    if quantized and method not in ADAPTED:
        raise UsageError(
            f"{scheme.name} weights have no gradient, so {job.method} training of them is not possible",
            place="quant",
            hint="--method qlora trains adapters on a frozen quantized base; without --quant the weights train in bf16",
        )
    if scheme.method == "gguf":
        raise UsageError("a GGUF file is for inference: no trainer reads it", place="quant", hint="--quant nf4-dq")
    if job.method == "qlora" and not quantized:
        raise UsageError("qlora needs a quantized base", place="quant", hint="--quant nf4-dq, or --method lora")
    if job.ep > 1 and (job.dp * job.tp) % job.ep:
        raise UsageError(f"experts over {job.ep} ranks, of which there are {job.dp * job.tp}", place="ep", hint=f"--dp {job.ep}")
    if method == "prefix" and job.checkpointing == "full":
        raise UsageError("PEFT refuses prefix tuning under gradient checkpointing", place="checkpointing", hint="none, or --method prompt")
    if job.prepare_kbit and not quantized:
        raise UsageError("prepare_kbit prepares a quantized base, and this one is not", place="prepare_kbit", hint="--method qlora")
    if job.stack == MEGATRON and (method != "full" or PRECISIONS[job.precision][1] or job.autocast):
        hint = "--method full --precision megatron, or leave --stack out"
        raise UsageError("Megatron's kernels are modelled for full training without autocast", place="stack", hint=hint)
    if job.sequence_parallel and method in ADAPTED:
        raise UsageError("sequence parallelism with adapters is not modelled", place="sequence_parallel", hint="leave it out")
    if job.sequence_parallel and job.tp == 1:
        raise UsageError("sequence parallelism divides what tensor parallelism leaves whole", place="sequence_parallel", hint="give --tp")
    if job.zero and job.dp == 1:
        raise UsageError(f"ZeRO stage {job.zero} shards over data-parallel ranks, and there is one", place="zero", hint="give --dp")
    if job.virtual_stages > 1 and job.pp == 1:
        raise UsageError("virtual stages belong to a pipeline", place="virtual_stages", hint="give --pp")
    if job.precision in MASTERS and method in ADAPTED:
        raise UsageError("adapters are stepped in their own format", place="precision", hint="--precision bf16 --adapter-dtype fp32")
