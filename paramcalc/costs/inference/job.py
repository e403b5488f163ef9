"""What inference is asked for, and what follows: every option checked, every default taken and named."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.costs.quantization.scheme import NONE, Scheme, scheme_named
from paramcalc.costs.terms import Input
from paramcalc.model.architecture import Architecture
from paramcalc.words.errors import UsageError
from paramcalc.words.formats import FORMATS, Format, cache_format, compute_format
from paramcalc.words.nearest import did_you_mean
from paramcalc.words.sizes import MAX_SIZE

TRANSFORMERS, VLLM, LLAMA_CPP, IDEAL = "transformers", "vllm", "llama.cpp", "ideal"
ENGINES = (TRANSFORMERS, VLLM, LLAMA_CPP, IDEAL)
CONTEXT = 4096
"""Tokens of a sequence where neither the call nor the model says."""
GIVEN, READ, DEFAULT = "given", "read", "default"


class InferenceJob(NamedTuple):
    """The options of `paramcalc infer`. None is "not given": then the input decides, or the default that `settle` names."""

    engine: str | None = None
    """`transformers`, the reference implementation, unless weights are in a GGUF mix: those are llama.cpp's."""
    dtype: str | None = None
    """What is computed in; the input's own, else bf16."""
    quant: str | None = None
    """Format of the weights; the input's `quantization_config`, else none."""
    bits: int | None = None
    group_size: int | None = None
    quant_all: bool = False
    batch_size: int = 1
    """Sequences held at once, over all devices."""
    context: int | None = None
    """Tokens of each; the model's own context, else 4,096."""
    prompt: int | None = None
    """Tokens of the prompt, where that is shorter than the context."""
    source: int | None = None
    """Tokens that an encoder-decoder's encoder reads; as many as the context."""
    kv_dtype: str | None = None
    """Format of keys and values, or `K,V`; what is computed in, f16 for llama.cpp."""
    state_dtype: str | None = None
    """vLLM: format of recurrent states (`--mamba-ssm-cache-dtype`)."""
    cache: str | None = None
    """transformers: `dynamic` or `static`."""
    attention: str | None = None
    """transformers: `sdpa`, `eager` or `flash`; llama.cpp: `flash` or `eager`."""
    tp: int = 1
    pp: int = 1
    ep: int = 1
    gpu: str | None = None
    """A device of the catalogue: with it, what is left for a cache is told."""
    gpu_memory_utilization: float | None = None
    """vLLM: share of the device that it takes; 0.9."""
    ubatch: int | None = None
    """Tokens computed at once: llama.cpp's physical batch (512), vLLM's chunk of a prefill (2,048)."""
    slots: int | None = None
    """Sequences that the engine prepares for: llama.cpp as many as are held, vLLM 256."""
    stated: frozenset[str] = frozenset()
    """Options that somebody gave, be it with the default's value. No option itself."""

    @classmethod
    def of(cls, **options: Any) -> InferenceJob:
        """The job of options that somebody gave."""
        return cls(**options, stated=frozenset(options))

    def origin(self, name: str) -> str:
        """Where a setting that always has a value is from."""
        return GIVEN if name in self.stated or getattr(self, name) != self._field_defaults[name] else DEFAULT


OPTIONS = tuple(name for name in InferenceJob._fields if name != "stated")


class Settings(NamedTuple):
    """A job with everything decided."""

    engine: str
    dtype: str
    weights: str
    """Format of weights that no scheme quantizes; `fp8` if that is computed in."""
    element: int
    """Bytes of one activation."""
    scheme: Scheme
    batch: int
    context: int
    prompt: int
    source: int
    keys: Format
    values: Format
    state_dtype: str | None
    cache: str
    attention: str
    tp: int
    pp: int
    ep: int
    stored: tuple[tuple[str, int], ...]
    """Bytes of a weight file by format, where weights are taken as they are stored in it; else nothing."""
    utilization: float
    ubatch: int
    slots: int
    inputs: tuple[Input, ...]
    warnings: tuple[str, ...]

    @property
    def devices(self) -> int:
        """Expert-parallel ranks stand on the tensor-parallel ones first, on replicas of them where there are more."""
        return self.pp * max(self.tp, self.ep)

    @property
    def sequences(self) -> int:
        """Sequences that one rank holds: expert parallelism beyond tensor parallelism means replicas that share the batch."""
        return -(-self.batch // max(1, self.ep // self.tp))


BELONGS = {
    "state_dtype": (VLLM,),
    "cache": (TRANSFORMERS,),
    "attention": (TRANSFORMERS, LLAMA_CPP),
    "gpu_memory_utilization": (VLLM,),
    "ubatch": (VLLM, LLAMA_CPP),
    "slots": (VLLM, LLAMA_CPP),
}
"""Options that only some engines have."""
UBATCH = {VLLM: 2048, LLAMA_CPP: 512}
"""vLLM: `max_num_batched_tokens` of a server on most GPUs (vllm/engine/arg_utils.py; 8,192 on those above 70 GiB);
llama.cpp: `n_ubatch` (common/common.h)."""
SLOTS = {VLLM: 256}
"""vLLM: `max_num_seqs` on most GPUs (1,024 on those above 70 GiB)."""


def settle(job: InferenceJob, architecture: Architecture) -> Settings:
    """Check a job against an architecture and take every default. Raises UsageError."""
    _numbers(job)
    decided = _Decided()
    scheme, scheme_from = _scheme(job, architecture)
    engine = _engine(job, scheme, architecture, decided)
    _belongs(job, engine)
    form, dtype_from = _dtype(job, architecture)
    dtype = "bf16" if form.name == "fp8_e4m3" else form.name
    decided.take("dtype", "fp8" if form.name == "fp8_e4m3" else form.name, dtype_from)
    stored = _stored(job, architecture, engine)
    if not stored:
        scheme = _for_engine(scheme, scheme_from, engine, form, decided)
    decided.take(
        "quant", f"as stored ({', '.join(name for name, _ in stored)})" if stored else scheme.name, READ if stored else scheme_from
    )
    decided.take("batch_size", job.batch_size, job.origin("batch_size"))
    context = _context(job, architecture, decided)
    prompt = decided.optional("prompt", job.prompt, context)
    if prompt > context:
        raise UsageError(f"a prompt of {prompt:,} tokens is longer than the context of {context:,}", place="prompt")
    source = _source(job, architecture, context, decided)
    keys, values = _cache_formats(job, engine, dtype, decided)
    own = _own_options(job, engine, min(context * job.batch_size, MAX_SIZE), decided)
    for name in ("tp", "pp", "ep"):
        decided.take(name, getattr(job, name), job.origin(name))
    if max(job.tp, job.ep) % min(job.tp, job.ep):
        raise UsageError(f"expert parallelism over {job.ep} ranks and tensor parallelism over {job.tp}: one divides the other", place="ep")
    return Settings(
        engine=engine,
        dtype=dtype,
        weights="fp8" if form.name == "fp8_e4m3" else dtype,
        element=FORMATS[dtype].block_bytes,
        scheme=scheme,
        batch=job.batch_size,
        context=context,
        prompt=prompt,
        source=source,
        keys=keys,
        values=values,
        tp=job.tp,
        pp=job.pp,
        ep=job.ep,
        stored=stored,
        inputs=tuple(decided.inputs),
        warnings=tuple(decided.warnings),
        **own,
    )


class _Decided:
    """What was decided so far, for the answer's `inputs` and `warnings`."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.warnings: list[str] = []

    def take(self, name: str, value: Any, origin: str) -> None:
        self.inputs.append(Input(name, value, origin))

    def optional(self, name: str, given: Any, default: Any) -> Any:
        value = default if given is None else given
        self.take(name, value, DEFAULT if given is None else GIVEN)
        return value


def _numbers(job: InferenceJob) -> None:
    """Counts are whole and positive."""
    for name in ("batch_size", "context", "prompt", "source", "tp", "pp", "ep", "ubatch", "slots"):
        value = getattr(job, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SIZE:
            raise UsageError(f"expected a whole number of at least 1, got {value!r:.40}", place=name)
    share = job.gpu_memory_utilization
    if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1):
        raise UsageError(f"expected a share above 0 and up to 1, got {share!r:.40}", place="gpu_memory_utilization")


def _scheme(job: InferenceJob, architecture: Architecture) -> tuple[Scheme, str]:
    if job.quant is not None:
        scheme = scheme_named(job.quant, bits=job.bits, group_size=job.group_size, everything=job.quant_all)
        if scheme.method == "none" and scheme.name != "none" and job.dtype is not None:
            asked, plain = compute_format(job.dtype), compute_format(scheme.name)
            if asked != plain:
                raise UsageError(f"weights in {plain.name} and computing in {asked.name}: leave out one", place="quant")
        return scheme, GIVEN
    for option in ("bits", "group_size"):
        if getattr(job, option) is not None:
            raise UsageError(f"{option} belongs to a format of weights", place=option, hint="--quant gptq, --quant awq")
    if job.quant_all:
        raise UsageError("quant_all belongs to a format of weights", place="quant_all", hint="--quant int8, --quant int4")
    if architecture.quantization:
        from paramcalc.costs.quantization.configs import scheme_from_config

        return scheme_from_config(architecture.quantization), READ
    return NONE, DEFAULT


def _engine(job: InferenceJob, scheme: Scheme, architecture: Architecture, decided: _Decided) -> str:
    if job.engine is None:
        engine = LLAMA_CPP if scheme.method == "gguf" or architecture.origin.form == "gguf" else TRANSFORMERS
        decided.take("engine", engine, DEFAULT)
        return engine
    engine = job.engine.strip().lower().replace("_", ".").replace("llamacpp", LLAMA_CPP)
    if engine not in ENGINES:
        hint = did_you_mean(engine, ENGINES) or f"one of {', '.join(ENGINES)}"
        raise UsageError(f"unknown engine: {job.engine!r:.60}", place="engine", hint=hint)
    decided.take("engine", engine, GIVEN)
    return engine


def _belongs(job: InferenceJob, engine: str) -> None:
    for option, engines in BELONGS.items():
        if getattr(job, option) is not None and engine not in engines:
            raise UsageError(f"{engine} has no {option}", place=option, hint=f"it belongs to {' and '.join(engines)}")
    if engine == LLAMA_CPP and max(job.tp, job.ep) > 1:
        raise UsageError("llama.cpp divides a model by layers", place="tp" if job.tp > 1 else "ep", hint="--pp")


def _dtype(job: InferenceJob, architecture: Architecture) -> tuple[Format, str]:
    if job.dtype is not None:
        return compute_format(job.dtype), GIVEN
    if job.quant is not None and (plain := scheme_named(job.quant)).method == "none" and plain.name != "none":
        return compute_format(plain.name), GIVEN
    if architecture.dtype:
        try:
            return compute_format(architecture.dtype), READ
        except UsageError:
            return compute_format("bf16"), DEFAULT
    return compute_format("bf16"), DEFAULT


def _stored(job: InferenceJob, architecture: Architecture, engine: str) -> tuple[tuple[str, int], ...]:
    """What a weight file holds, largest first, unless another format is asked for or the engine makes it whole again."""
    whole = architecture.origin.form == "gguf" and engine == TRANSFORMERS
    if job.quant is not None or job.dtype is not None or whole:
        return ()
    return tuple(sorted(architecture.origin.stored.items(), key=lambda item: -item[1]))


def _for_engine(scheme: Scheme, origin: str, engine: str, form: Format, decided: _Decided) -> Scheme:
    """The scheme as the engine holds it: llama.cpp reads GGUF alone, transformers makes a GGUF file's weights whole again."""
    if engine == LLAMA_CPP and scheme.method != "gguf":
        whole = {"fp32": "F32", "fp16": "F16"}.get(form.name, "BF16")
        if scheme.method != "none":
            if origin == GIVEN:
                raise UsageError(f"llama.cpp reads GGUF, not {scheme.name}", place="quant", hint="a mix such as Q8_0 or Q4_K_M")
            decided.warnings.append(f"the input's {scheme.name} weights are counted as {whole}: llama.cpp reads GGUF (--quant Q4_K_M, ...)")
        return scheme_named(whole)
    if engine == TRANSFORMERS and scheme.method == "gguf":
        decided.warnings.append(f"transformers makes the weights of a GGUF file whole again when it loads them: counted in {form.name}")
        return NONE
    return scheme


def _context(job: InferenceJob, architecture: Architecture, decided: _Decided) -> int:
    own = architecture.context
    context = job.context or own or CONTEXT
    decided.take("context", int(context), GIVEN if job.context else READ if own else DEFAULT)
    if own and context > own:
        decided.warnings.append(f"a context of {context:,} tokens is beyond the {own:,} that the model was made for")
    return int(context)


def _source(job: InferenceJob, architecture: Architecture, context: int, decided: _Decided) -> int:
    """Tokens of the encoder's input; an axis that only some models have."""
    if not any(place.tokens == "source" for _, place in architecture.blocks()):
        if job.source is not None:
            raise UsageError("this model has no encoder whose input varies in length", place="source")
        return 0
    return int(decided.optional("source", job.source, context))


def _cache_formats(job: InferenceJob, engine: str, dtype: str, decided: _Decided) -> tuple[Format, Format]:
    if job.kv_dtype is None:
        form = cache_format("f16" if engine == LLAMA_CPP else dtype)
        decided.take("kv_dtype", form.name, DEFAULT)
        return form, form
    words = job.kv_dtype.split(",")
    if len(words) > 2:
        raise UsageError(f"expected one format, or K,V for two, got {job.kv_dtype!r:.60}", place="kv_dtype")
    formats = [FORMATS["int4"] if word.strip().lower() == "int4" else cache_format(word) for word in words]
    decided.take("kv_dtype", job.kv_dtype, GIVEN)
    for form in formats:
        if form.name == "int4" and engine in (VLLM, LLAMA_CPP):
            raise UsageError(f"{engine} keeps no cache in int4", place="kv_dtype", hint="q4_0" if engine == LLAMA_CPP else "fp8, int8")
        if form.elements > 2 and engine not in (LLAMA_CPP, IDEAL):
            raise UsageError(f"{engine} keeps no cache in {form.name}", place="kv_dtype", hint="it is llama.cpp's")
        if engine == LLAMA_CPP and (form.name.startswith("fp8") or form.name == "int8"):
            raise UsageError(f"llama.cpp keeps no cache in {form.name}", place="kv_dtype", hint="f16, bf16, q8_0, q5_0, q4_0, ...")
        if engine == TRANSFORMERS and form.name.startswith("fp8_e5"):
            raise UsageError(f"transformers keeps no cache in {form.name}", place="kv_dtype")
    if engine == TRANSFORMERS:
        formats = [_grouped(form, FORMATS[dtype].block_bytes) for form in formats]
    return formats[0], formats[-1]


def _grouped(form: Format, scale: int) -> Format:
    """Integers as transformers' quantized cache keeps them: groups of 64 with a scale and a zero point."""
    if form.name not in ("int8", "int4"):
        return form
    parts = (("values", form.bytes_for(64)), ("scales", scale), ("zero_points", scale))
    return Format(f"{form.name}-g64", 64, parts, "HQQQuantizedLayer in cache_utils.py of transformers 5.23: groups of 64")


def _own_options(job: InferenceJob, engine: str, tokens: int, decided: _Decided) -> dict[str, Any]:
    """What only this engine has; `tokens` are those of all sequences."""
    own: dict[str, Any] = {
        "state_dtype": None, "cache": "dynamic", "attention": "sdpa", "utilization": 1.0, "ubatch": tokens, "slots": job.batch_size
    }  # fmt: skip
    if engine == TRANSFORMERS:
        own["cache"] = _word("cache", decided.optional("cache", job.cache, "dynamic"), ("dynamic", "static"))
        own["attention"] = _word("attention", decided.optional("attention", job.attention, "sdpa"), ("sdpa", "eager", "flash"))
    if engine == LLAMA_CPP:
        own["attention"] = _word("attention", decided.optional("attention", job.attention, "flash"), ("flash", "eager"))
    if engine == VLLM:
        own["utilization"] = decided.optional("gpu_memory_utilization", job.gpu_memory_utilization, 0.9)
        if job.state_dtype is not None:
            own["state_dtype"] = compute_format(job.state_dtype, place="state_dtype").name
            decided.take("state_dtype", own["state_dtype"], GIVEN)
    if engine in (VLLM, LLAMA_CPP):
        own["ubatch"] = decided.optional("ubatch", job.ubatch, UBATCH[engine])
        own["slots"] = decided.optional("slots", job.slots, max(SLOTS.get(engine, 1), job.batch_size))
        if own["slots"] < job.batch_size:
            raise UsageError(f"{job.batch_size:,} sequences need as many slots, not {own['slots']:,}", place="slots")
    return own


def _word(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"expected {' or '.join(known)}, got {value!r:.40}", place=name, hint=did_you_mean(str(value), known))
    return value
