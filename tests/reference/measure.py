"""What a model class of transformers holds, tensor by tensor, measured on the meta device (no weights are made).

Definitions: a parameter that two names share counts once, under its first name; buffers are no parameters; a bias is a
parameter whose last name part ends in "bias", or is a recurrent layer's `bias_ih_l0` and the like; an embedding is the
weight of an nn.Embedding; `active` is the total less the routed experts that a token does not visit.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

# Bare parameters that stand for positions or special tokens: never counted as embeddings, but said.
EMBEDDING_LIKE = re.compile(r"pos_embed|position_embed|(cls|class|mask|dist|distillation|register)_?(tokens?|embeddings?)$|^probe$")
RECURRENT_BIAS = re.compile(r"bias_[ih]h_l\d")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
TOP_K = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "top_k_experts",
    "moe_topk",
    "moe_k",
    "moe_top_k",
    "moe_router_topk",
    "num_selected_experts",
    "router_topk",
)
# Fixed in the modelling code, whatever the config says.
FIXED_TOP_K = {"phimoe": 2, "switch_transformers": 1, "nllb-moe": 2}
NO_ACTIVE = {
    "longcat_flash": "zero-computation experts: how many real ones a token visits varies",
    "zaya": "a token may skip the experts",
    "ernie4_5_vl_moe": "text and vision tokens have experts of their own",
    "doge": "experts are rows of an embedding, retrieved by product keys",
}
EXPERT_MODULE = re.compile(r"(^|\.)experts(\.|$)")
EXPERT_CLASS = re.compile(r"(ParallelExperts|Experts|ExpertMLP|GroupedExperts)")


def template(name: str) -> str:
    """A tensor's name with its numeric indices as {}."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)", "{}", name)


def build(cls: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    """The model on the meta device, tied as from_config ties it (post_init does so)."""
    with torch.device("meta"):
        return cls(config)


def skip_initialisers() -> None:
    """Filling meta tensors with random numbers is most of a build's time and changes no shape."""
    for cls in (nn.Linear, nn.Embedding, nn.Bilinear, nn.LayerNorm, nn.GroupNorm, nn.modules.conv._ConvNd):
        cls.reset_parameters = lambda self: None  # type: ignore[method-assign]
    nn.MultiheadAttention._reset_parameters = lambda self: None  # type: ignore[method-assign]
    for name in ("normal_", "uniform_", "trunc_normal_", "xavier_uniform_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_"):
        setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def measure(model: PreTrainedModel, config: PreTrainedConfig) -> dict[str, object]:
    """Every field of a record that is measured rather than read."""
    first, aliases, untied = {}, [], 0
    for name, parameter in model.named_parameters(remove_duplicate=False):
        untied += parameter.numel()
        if id(parameter) in first:
            aliases.append((template(name), template(first[id(parameter)][0])))
        else:
            first[id(parameter)] = (name, parameter)
    held = dict(first.values())
    total = sum(p.numel() for p in held.values())
    embedding, tables = embeddings(model)
    biases: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for name, parameter in held.items():
        last = name.rsplit(".", 1)[-1]
        if last.endswith("bias") or RECURRENT_BIAS.match(last):
            biases[last] += parameter.numel()
        elif last != "weight":
            others[last] += parameter.numel()
    return {
        "total": total,
        "total_untied": untied,
        "tied_tensors": [[*pair, n] for pair, n in Counter(aliases).items()],
        "embedding": embedding,
        "embedding_total": sum(embedding.values()),
        "embedding_like": {n: p.numel() for n, p in held.items() if id(p) not in tables and EMBEDDING_LIKE.search(n.rsplit(".", 1)[-1])},
        "bias": sum(biases.values()),
        "bias_by_name": dict(biases),
        "other_named": dict(others),
        "not_trainable": sum(p.numel() for p in held.values() if not p.requires_grad),
        "buffers_persistent": sum(b.numel() for n, b in model.named_buffers() if persistent(model, n)),
        "tensors": tensors(held),
        **active(model, config, held, total),
    }


def persistent(model: nn.Module, name: str) -> bool:
    path, _, last = name.rpartition(".")
    return last not in model.get_submodule(path)._non_persistent_buffers_set


def embeddings(model: nn.Module) -> tuple[dict[str, int], set[int]]:
    """Elements of each embedding's table, under its module's name, and the identities of these tables. I-BERT's quantized
    tables are looked up like any other, though their module is no nn.Embedding."""
    found, seen = {}, set()
    for path, module in model.named_modules():
        if (isinstance(module, nn.Embedding) or type(module).__name__ == "QuantEmbedding") and id(module.weight) not in seen:
            seen.add(id(module.weight))
            found[f"{path}.weight"] = module.weight.numel()
    return found, seen


def tensors(held: dict[str, torch.Tensor]) -> list[list[object]]:
    """[name, shape, how many], in the order of their first occurrence."""
    counts = Counter((template(n), tuple(p.shape)) for n, p in held.items())
    return [[name, list(shape), n] for (name, shape), n in counts.items()]


def configs(config: PreTrainedConfig) -> Iterator[PreTrainedConfig]:
    yield config
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield from configs(value)


class Stack(NamedTuple):
    """The experts of one module, their tensors, and whether each expert has its own."""

    experts: int
    tensors: dict[str, torch.Tensor]
    listed: bool


def expert_tensors(model: nn.Module, held: dict[str, torch.Tensor]) -> dict[str, Stack]:
    """Module of experts -> what it holds: stacked tensors, or a list of modules."""
    names = {id(p): n for n, p in held.items()}
    found: dict[str, Stack] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        listed = isinstance(module, (nn.ModuleList, nn.ModuleDict)) and path.endswith("experts")
        if not (listed or (EXPERT_CLASS.search(type(module).__name__) and "shared" not in path)):
            continue
        if any(path.startswith(f"{outer}.") for outer in found):
            continue
        own = {names[id(p)]: p for p in module.parameters() if id(p) in names and id(p) not in seen}
        if own:  # and not another module's, which Diffusion Gemma's decoder shares
            seen |= {id(p) for p in own.values()}
            held_by = sum(any(True for _ in child.parameters()) for child in module.children())  # NLLB lists a dropout, too
            found[path] = Stack(held_by if listed else experts_of(module, own), own, listed)
    return found


def experts_of(module: nn.Module, own: dict[str, torch.Tensor]) -> int:
    for key in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"):
        if isinstance(getattr(module, key, None), int):
            return getattr(module, key)
    return max((p.shape[0] for p in own.values() if p.dim() == 3), default=0)


def active(model: nn.Module, config: PreTrainedConfig, held: dict[str, torch.Tensor], total: int) -> dict[str, object]:
    """Total less the experts not visited; null where the number used is not fixed."""
    stacks = expert_tensors(model, held)
    if not stacks and getattr(config, "is_moe", False):
        return {"active": None, "why_no_active": NO_ACTIVE["doge"]}
    if not stacks:
        return {"active": total}
    types = {c.model_type for c in configs(config)} | {getattr(model, "config", config).model_type}
    for name, why in NO_ACTIVE.items():
        if any(t == name or t.startswith(f"{name}_") for t in types):
            return {"active": None, "why_no_active": why}
    routed: dict[tuple[int, int], int] = defaultdict(int)
    for path, (experts, own, listed) in stacks.items():
        # A vector, and what does not divide (an activation's one slope), is shared by the experts.
        stacked = sum(p.numel() for p in own.values() if listed or (experts and p.dim() > 1 and p.numel() % experts == 0))
        routed[experts, top_k_of(model, path, config, experts)] += stacked
    if any(not experts or not k or k > experts for experts, k in routed):
        return {"active": None, "why_no_active": f"experts and top-k not found: {sorted(routed)}"}
    unused = sum(n // experts * (experts - k) for (experts, k), n in routed.items())
    moe = [{"experts": e, "top_k": k, "routed": n} for (e, k), n in routed.items()]
    names = sorted({template(n) for stack in stacks.values() for n in stack.tensors})
    return {"active": total - unused, "moe": {"stacks": moe, "tensors": names}}


def top_k_of(model: nn.Module, path: str, config: PreTrainedConfig, experts: int) -> int:
    """Experts that a token visits: fixed in code, else what a config with that many experts says; 0 if unclear."""
    known = list(configs(config)) + list(configs(model.config))
    for one in known:
        if one.model_type in FIXED_TOP_K:
            return FIXED_TOP_K[one.model_type]
    answers = {value(one, TOP_K) for one in known if value(one, EXPERTS) == experts} - {0}
    if len(answers) != 1:  # none, or two parts with as many experts each: ask the router beside these
        parent = model.get_submodule(path.rpartition(".")[0])
        answers = {m.top_k for m in parent.modules() if isinstance(getattr(m, "top_k", None), int)}
    return answers.pop() if len(answers) == 1 else 0


def value(config: PreTrainedConfig, keys: tuple[str, ...]) -> int:
    for key in keys:
        found = config._getattr_without_heterogeneous_validation(key, None)
        if isinstance(found, list) and found and len(set(found)) == 1:
            found = found[0]
        if isinstance(found, int) and found > 0:
            return found
    return 0
