"""A config's own `quantization_config` as a scheme: what real checkpoints carry, method by method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paramcalc.costs.quantization import left_out
from paramcalc.costs.quantization.scheme import AWQ_BITS, GPTQ_BITS, NONE, Scheme, scheme_named
from paramcalc.words.errors import InputError, UsageError
from paramcalc.words.nearest import did_you_mean

PLACE = "quantization_config"

Values = Mapping[str, Any]


def scheme_from_config(config: Values) -> Scheme:
    """The scheme that a `quantization_config` describes. Raises InputError where it is unknown or inconsistent."""
    method = str(_first(config, "quant_method", "quantization_method", "quant_type") or "").lower().replace("_", "-")
    if not method and ("load_in_4bit" in config or "load_in_8bit" in config):
        method = "bitsandbytes"
    if not method and isinstance(config.get("quantization"), Mapping):  # hf_quant_config.json of modelopt
        return _modelopt(config["quantization"])
    if method not in _READERS:
        raise InputError(
            f"unknown quant_method: {method!r:.60}" if method else "no quant_method",
            place=f"{PLACE}.quant_method",
            hint=did_you_mean(method, _READERS) or f"known: {', '.join(_READERS)}; or give --quant",
        )
    return _READERS[method](config)


def scheme_for(
    config: Values | None,
    quant: str | None = None,
    *,
    bits: int | None = None,
    group_size: int | None = None,
    everything: bool = False,
) -> tuple[Scheme, str]:
    """The scheme that is asked for, else a config's own, else none; and where it is from: given, read or default.

    `bits` and `group_size` belong to `quant`. Raises UsageError or InputError.
    """
    if quant is not None:
        return scheme_named(quant, bits=bits, group_size=group_size, everything=everything), "given"
    for option, value in (("bits", bits), ("group_size", group_size)):
        if value is not None:
            raise UsageError(f"{option} belongs to a format of weights", place=option, hint="give --quant gptq or --quant awq")
    if config:
        return scheme_from_config(config)._replace(everything=everything), "read"
    return NONE._replace(everything=everything), "default"


def _bitsandbytes(config: Values) -> Scheme:
    skipped = left_out.transformers_list(_names(config, "llm_int8_skip_modules", "modules_to_not_convert"))
    if config.get("load_in_8bit") or config.get("_load_in_8bit"):
        return scheme_named("llm-int8")._replace(left_out=skipped)
    if not (config.get("load_in_4bit") or config.get("_load_in_4bit")):
        raise InputError("bitsandbytes with neither load_in_4bit nor load_in_8bit", place=PLACE)
    kind = str(config.get("bnb_4bit_quant_type", "fp4")).lower()
    if kind not in ("nf4", "fp4"):
        raise InputError(f"expected nf4 or fp4, got {kind!r:.40}", place=f"{PLACE}.bnb_4bit_quant_type")
    double = bool(config.get("bnb_4bit_use_double_quant"))
    return scheme_named(f"{kind}-dq" if double else kind)._replace(left_out=skipped)


def _gptq(config: Values) -> Scheme:
    if config.get("dynamic"):
        raise InputError("bits that differ from module to module are not modelled", place=f"{PLACE}.dynamic", hint="give --quant")
    bits = _one_of(_whole(config, "bits", default=4), GPTQ_BITS, "bits")
    scheme = scheme_named("gptq", bits=bits, group_size=_group(config, "group_size"))
    return scheme._replace(head=bool(config.get("lm_head")), left_out=_transformers_names(config))


def _awq(config: Values) -> Scheme:
    bits = _one_of(_whole(config, "bits", "w_bit", default=4), AWQ_BITS, "bits")
    scheme = scheme_named("awq", bits=bits, group_size=_group(config, "group_size", "q_group_size"))
    return scheme._replace(left_out=_transformers_names(config))


def _fp8(config: Values) -> Scheme:
    """Block-wise, or per tensor where `weight_block_size` is null or missing (`FineGrainedFP8Config` defaults to blocks)."""
    size = config.get("weight_block_size", [128, 128])
    name = "fp8" if size else "fp8-tensor"
    block = _pair(size, "weight_block_size") if size else (0, 0)
    scale = 1 if str(config.get("scale_fmt", "")).lower() == "ue8m0" else 4
    return scheme_named(name)._replace(
        block=block,
        scale_bytes=scale,
        input_scales=int(config.get("activation_scheme") == "static"),
        left_out=_transformers_names(config),
    )


def _mxfp8(config: Values) -> Scheme:
    return _fp8({"weight_block_size": [1, 32], "scale_fmt": "ue8m0", **config})._replace(name="mxfp8")


def _fbgemm(config: Values) -> Scheme:
    """fbgemm: one fp32 scale a row, and the upper bound of the activations' scales."""
    return scheme_named("fp8-channel")._replace(input_scales=1, left_out=_transformers_names(config))


def _mxfp4(config: Values) -> Scheme:
    return scheme_named("mxfp4")._replace(left_out=_transformers_names(config))


def _nvfp4(config: Values) -> Scheme:
    return scheme_named("nvfp4")._replace(left_out=_transformers_names(config))


def _modelopt(config: Values) -> Scheme:
    algorithm = str(config.get("quant_algo", "")).upper()
    known = {"FP8": "fp8-tensor", "NVFP4": "nvfp4", "FP8_PB_WO": "fp8-block", "FP8_PER_CHANNEL_PER_TOKEN": "fp8-channel"}
    if algorithm not in known:
        hint = f"known: {', '.join(known)}; or give --quant"
        raise InputError(f"unknown quant_algo: {algorithm!r:.60}", place=f"{PLACE}.quant_algo", hint=hint)
    scheme = scheme_named(known[algorithm])
    skipped = left_out.wildcard_list(_names(config, "ignore", "exclude_modules"))
    return scheme._replace(input_scales=int(algorithm in ("FP8", "NVFP4")), left_out=skipped)


def _compressed(config: Values) -> Scheme:
    """compressed-tensors with one group of weights; several different ones are refused."""
    groups = _groups(config.get("config_groups"))
    weights = [group["weights"] for group in groups if group.get("weights")]
    if not weights or any(each != weights[0] for each in weights):
        raise InputError("expected config_groups that quantize weights in one way", place=f"{PLACE}.config_groups", hint="give --quant")
    inputs = [group.get("input_activations") or {} for group in groups]
    static = int(any(isinstance(each, Mapping) and each.get("dynamic") is False for each in inputs))
    scheme = _of_weights(weights[0], str(config.get("format", "")))
    if scheme.name == "nvfp4":
        static = int(any(inputs))
    return scheme._replace(input_scales=static, left_out=left_out.compressed_list(_names(config, "ignore")))


def _groups(value: object) -> list[Values]:
    """The groups of modules that are quantized alike; none where the mapping is not one of mappings."""
    groups = list(value.values()) if isinstance(value, Mapping) else []
    read = [group for group in groups if isinstance(group, Mapping) and isinstance(group.get("weights") or {}, Mapping)]
    return read if len(read) == len(groups) else []


def _of_weights(weights: Values, layout: str) -> Scheme:
    """The scheme of compressed-tensors' `weights`: type, bits, strategy and group size."""
    kind, bits = str(weights.get("type", "int")), _whole(weights, "num_bits", default=8)
    strategy = str(weights.get("strategy") or ("group" if weights.get("group_size") else "tensor"))
    group = _whole(weights, "group_size", default=0) or 0
    zero_points = weights.get("symmetric") is False
    if kind == "float" and bits == 4:
        name = "nvfp4" if strategy == "tensor_group" else "mxfp4"
        return scheme_named(name)._replace(name=name if name == "nvfp4" else "mxfp4-linear", group=group or (16 if name == "nvfp4" else 32))
    if kind == "float" and bits == 8:
        return _float8(weights, strategy, group)
    if kind == "int" and 2 <= bits <= 8 and strategy in ("tensor", "channel", "group"):
        packed = layout == "pack-quantized" or bits < 8 or (not layout and strategy == "group")
        grain = f"g{group}" if strategy == "group" else strategy
        return Scheme(
            f"compressed-int{bits}-{grain}",
            "packed",
            bits=bits,
            group=max(group, 0) if strategy == "group" else 0,
            block=(0, 0) if strategy == "tensor" else None,
            scale_bytes=2,
            zero_points=zero_points,
            group_index=weights.get("actorder") == "group",
            packed=packed,
        )
    raise InputError(
        f"weights of {bits} bits, type {kind!r:.20} and strategy {strategy!r:.20} are not modelled",
        place=f"{PLACE}.config_groups",
        hint="give --quant",
    )


def _float8(weights: Values, strategy: str, group: int) -> Scheme:
    """fp8 by strategy; scales are in the model's 16-bit format, those of MXFP8 (groups of 32) one byte."""
    if strategy == "block":
        block = _pair(weights.get("block_structure"), "config_groups.weights.block_structure")
        return scheme_named("fp8-block")._replace(block=block, scale_bytes=2)
    if strategy == "group" and group == 32:
        return scheme_named("fp8-block")._replace(name="mxfp8", block=(1, 32), scale_bytes=1)
    if strategy in ("tensor", "channel"):
        return scheme_named(f"fp8-{strategy}")._replace(scale_bytes=2)
    raise InputError(f"fp8 weights with strategy {strategy!r:.30} are not modelled", place=f"{PLACE}.config_groups", hint="give --quant")


_READERS: dict[str, Callable[[Values], Scheme]] = {
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "bitsandbytes-4bit": _bitsandbytes,
    "bitsandbytes-8bit": _bitsandbytes,
    "compressed-tensors": _compressed,
    "fbgemm-fp8": _fbgemm,
    "fp8": _fp8,
    "gptq": _gptq,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
    "mxfp8": _mxfp8,
    "nvfp4": _nvfp4,
}


def _first(config: Values, *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _names(config: Values, *keys: str) -> list[str]:
    found = _first(config, *keys) or []
    if not isinstance(found, list):
        raise InputError(f"expected a list of modules, got {found!r:.60}", place=f"{PLACE}.{keys[0]}")
    return found


def _transformers_names(config: Values) -> left_out.LeftOut:
    return left_out.transformers_list(_names(config, "modules_to_not_convert", "ignored_layers"))


def _whole(config: Values, *keys: str, default: int) -> int:
    value = _first(config, *keys)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 2**20:
        raise InputError(f"expected a whole number, got {value!r:.40}", place=f"{PLACE}.{keys[0]}")
    return value


def _group(config: Values, *keys: str) -> int:
    group = _whole(config, *keys, default=128)
    if group == 0 or group < -1:
        raise InputError(f"expected a group size of at least 1, or -1 for a whole row, got {group}", place=f"{PLACE}.{keys[0]}")
    return group


def _one_of(value: int, known: tuple[int, ...], key: str) -> int:
    if value not in known:
        raise InputError(f"expected {' or '.join(map(str, known))}, got {value}", place=f"{PLACE}.{key}")
    return value


def _pair(value: object, key: str) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int and 0 < side <= 2**20 for side in value):
        return value[0], value[1]
    raise InputError(f"expected two whole numbers such as [128, 128], got {value!r:.60}", place=f"{PLACE}.{key}")
