"""Small configs of a type that still hold every kind of tensor, and the changes of one key at a time.

Sizes are small and odd-ish (48 wide, 6 heads, 3 key/value heads, 52 in the feed-forward, 97 tokens), so that a swapped
dimension shows. What is legal is found by trying: a value stays if the model still builds with it.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields
from pathlib import Path as FilePath

from defaults import built, declared, difference, parts_of
from transformers import CONFIG_MAPPING, PreTrainedConfig

Given = dict[str, typing.Any]
Path = tuple[str, ...]
# What a config holds if it builds: its total, and its tensors as (name, shape) pairs.
Held = tuple[int, frozenset[tuple[str, tuple[int, ...]]]]
Builds = Callable[[Given], Held | None]

LAYERS = re.compile(
    r"^(num_hidden_layers|n_layers?|num_layers|depth|(num_)?(encoder|decoder)_(hidden_)?layers|num_(encoder|decoder)_layers"
    r"|(encoder|decoder)_num_hidden_layers|text_num_hidden_layers|num_(block|stage)s?|num_hidden_groups)$"
)
LAYER_LIST = re.compile(r"ind(ic|ex)|idx|_ids$|_layers$|_at$|_for$")
LAYER_LIMIT = re.compile(r"shared_layers$|dense_replace$|dense_layers$|dense_sliding|full_attention_layers$|feature_layer$")
TOWER = re.compile(r"vision|audio|encoder|image|speech|backbone|video|qformer|point")
# name -> values to try, the best first. The first rule that matches a name is the one. The second values are those of a
# plainer config: towers as wide as the text, as many key/value heads as heads.
RULES = [
    (r"(^|_)vocab_size(_per_layer_input|_base)?$|_vocab$", (97, 128)),
    (r"hidden_size_per_layer_input$", (12,)),
    (r"^type_vocab_size$|^modality_type_vocab_size$", (3,)),
    (r"key_value_heads$|kv_heads$|^num_query_groups$", (3, 6, 2, 4, 1)),
    (r"linear_num_key_heads$", (2,)),
    (r"linear_num_value_heads$", (4,)),
    (r"index_n_heads$", (2, 4)),
    (r"(^|_)(num_|n_|self_)?(attention_|attn_)?heads?$|attention_heads$|mamba_(n|num)_heads$", (6, 6, 4, 8, 8, 2)),
    (r"qk_rope_head_dim$|^rotary_dim$", (6, 4, 8)),
    (r"qk_nope_head_dim$", (10, 8)),
    (r"v_head_dim$|value_head_dim$", (14, 12, 8)),
    (r"qk_head_dim$", (16,)),
    (r"mamba_(d_head|head_?dim)$", (16, 16, 8)),
    (r"head_dim$|^d_kv$|^kv_channels$|^dim_head$", (10, 10, 32, 8, 12, 16)),
    (r"n_?groups$", (2, 1)),
    (r"codebook_size$", (16, 32)),
    (r"kernel_size$", (3, 5)),
    (r"^(out|text)_hidden_size$|^adapter_in_dim$", (48, 48, 64, 96)),
    (r"(d_state|state_size)$", (14, 16)),
    (r"moe_intermediate_size$|expert_dim$", (20, 24)),
    (r"shared.*intermediate_size$", (28, 24)),
    (r"intermediate_(size|dim)$|ffn_dim$|^d_ff$|^n_inner$|^d_inner$|mlp_dim$|ffn_hidden_size$|feed_forward_size$", (52, 48, 64)),
    (r"experts_per_tok(en)?$|^moe_(topk|k|top_k)$|^top_k_experts$", (2, 1)),
    (r"^(num|n|moe_num)_(local_|routed_|real_)?experts$", (6, 8, 4)),
    (r"q_lora_rank$", (18,)),
    (r"kv_lora_rank$", (22,)),
    (r"position_embeddings$|^n_positions$|positions$|^n_ctx$|^max_seq_len$|^context_length$", (40, 64, 128)),
    (r"^(hidden_size|d_model|n_embd|embed_dim|hidden_dim|dim|width|embedding_size|hidden_size_global)$", (48, 48, 64, 96, 128)),
    (r"(_size|_dim|_width|_channels|_units|_features|_rank|_filters|_hidden|_length|_buckets)$", (24, 32, 48, 64)),
]
CORE = re.compile(r"^(hidden_size|d_model|n_embd|embed_dim|hidden_dim|dim)$|heads?$|head_dim$|head_?dim$|d_head$|^d_kv$")
INERT = re.compile(
    r"drop|_eps|epsilon|_prob|initializer|token_i|token_id|_coef|_std|loss|softcap|_theta|temperature|use_cache|output_(hidden|att)"
    r"|_cost|weight$|_id$|_ids$|seed|version|kernel_impl|langs|languages"
)
KINDS = (
    "full_attention",
    "sliding_attention",
    "linear_attention",
    "conv",
    "dense",
    "sparse",
    "moe",
    "mlp",
    "hybrid",
    "recurrent",
    "attention",
    "mamba",
)
OPTIONS: dict[str, tuple[str, ...]] = {
    "position_embedding_type": ("absolute", "relative_key", "relative_key_query", "rotary", "alibi", "none"),
    "position_embeddings_type": ("relative", "relative_key", "rotary", "absolute"),
    "feat_extract_norm": ("layer", "group"),
    "feed_forward_proj": ("relu", "gated-gelu", "gated-silu"),
    "hidden_act": ("relu",),
    "attention_type": ("original_full", "block_sparse"),
    "summary_type": ("first", "mean"),
    "layer_type": ("basic", "bottleneck", "x", "y"),
    "norm_type": ("batchnorm", "layer_norm", "rms_norm"),
}


def configured(model_type: str, given: Given) -> PreTrainedConfig:
    return CONFIG_MAPPING[model_type](**deepcopy(given))


def walk(config: PreTrainedConfig, path: Path = ()) -> Iterator[tuple[Path, PreTrainedConfig]]:
    yield path, config
    for key, part in parts_of(config).items():
        yield from walk(part, (*path, key))


def put(given: Given, path: Path, values: Given) -> Given:
    """A copy of a config with some values set in one of its parts."""
    out = deepcopy(given)
    inner = out
    for key in path:
        inner = inner.setdefault(key, {})
    inner.update(values)
    return out


def start(model_type: str, usual: Given) -> Given:
    """The default config, with what sets its parts apart from their own types' defaults written out."""
    return {key: spelled(part) for key, part in parts_of(configured(model_type, usual)).items()} | usual


def spelled(part: PreTrainedConfig) -> Given:
    """A part as it has to be given to come out the same: with its type, its own parts likewise."""
    given = difference(part) | {key: spelled(inner) for key, inner in parts_of(part).items()}
    return given | ({"model_type": part.model_type} if part.model_type else {})


def fewer_layers(config: PreTrainedConfig, count: int, computed: bool) -> Given:
    """At most `count` layers in each stack of a config, its lists over layers cut to that (the computed ones too?)."""
    out: Given = {}
    values = built(config)
    fixed = {k for k, v in declared(type(config)).items() if v is not None}
    for key in [k for k, v in values.items() if LAYERS.search(k) and type(v) is int and v > count]:
        out[key], number = count, values[key]
        for name, value in values.items():
            if isinstance(value, list) and len(value) == number and (computed or name in fixed):
                out[name] = value[:count]
            elif isinstance(value, list) and LAYER_LIST.search(name) and (not computed or name in fixed):
                out |= {name: fewer_indices(value, number, count)} if all(type(v) is int for v in value) else {}
            elif type(value) is int and LAYER_LIMIT.search(name) and abs(value) >= count:
                out[name] = count // 2 if value > 0 else -1
    return out


def fewer_indices(value: list[int], number: int, count: int) -> list[int]:
    """The layers that are still there, or where they would stand."""
    return [v for v in value if v < count] or sorted({v * count // number for v in value})


def with_layers(model_type: str, given: Given, count: int, only: Path | None, computed: bool) -> Given:
    for path, config in walk(configured(model_type, given)):
        if only in (None, path):
            given = put(given, path, fewer_layers(config, count, computed))
    return given


def shallow(model_type: str, given: Given, builds: Builds, full: Held | None) -> Given:
    """The least number of layers that still holds every kind of tensor, first for all stacks, else for each."""
    best, most, names = given, -1, words(model_type, given)
    for count in range(2, 11):
        small, held = first_built(model_type, given, builds, count, None)
        kinds = len(held[1]) + len(words(model_type, small)) if held else -1
        best, most = (small, kinds) if kinds > most else (best, most)
        if full and held and held[1] >= full[1] and words(model_type, small) >= names:
            break
    if most >= 0:
        return best
    for path, _ in walk(configured(model_type, given)):
        for count in (2, 3, 4, 6):
            small, held = first_built(model_type, given, builds, count, path)
            if held:
                given = small
                break
    return given


def first_built(model_type: str, given: Given, builds: Builds, count: int, only: Path | None) -> tuple[Given, Held | None]:
    for computed in (False, True):
        try:
            small = with_layers(model_type, given, count, only, computed)
            words(model_type, small)
        except Exception:
            continue
        if held := builds(small):
            return small, held
    return given, None


def words(model_type: str, given: Given) -> set[tuple[Path, str, str]]:
    """The kinds of layers that a config's lists speak of."""
    held = {(p, k): v for p, c in walk(configured(model_type, given)) for k, v in built(c).items() if isinstance(v, list)}
    return {(p, k, word) for (p, k), v in held.items() for word in v if isinstance(word, str) and "layer" in k}


def scaled(name: str, value: list[int]) -> list[int]:
    """A list of sizes brought down; of depths, mixed ones and twos; of heads, as it is."""
    if re.search(r"depth|layers|blocks|num_block", name):
        return [min(v, 1 + i % 2) for i, v in enumerate(value)]
    if re.search(r"size|dim|channel|width", name) and min(value) >= 16:
        low = min(value)
        return [max(8, v * 24 // low // 8 * 8) for v in value]
    return value


def candidates(name: str, value: object, path: Path) -> list[object]:
    if isinstance(value, list) and value and all(type(v) is int and v > 0 for v in value):
        return [s for s in [scaled(name, value)] if s != value]
    if value is None and re.search(r"experts_per_tok(en)?$", name):
        return [2]  # null leaves open how many experts a token visits
    if type(value) is not int or value <= 1 or LAYERS.search(name) or INERT.search(name):
        return []
    values = next((v for rule, v in RULES if re.search(rule, name)), ())
    if TOWER.search("/".join(path)) and values[2:] == (64, 96, 128):
        values = (72, *values[1:])
    return [v for v in values if v < value] if values and value > values[0] else []


def plan_for(model_type: str, given: Given) -> list[tuple[Path, str, list[object]]]:
    """What to bring down where: attention's sizes first, since they depend on one another."""
    plan = []
    for path, config in walk(configured(model_type, given)):
        for key, value in built(config).items():
            picture = type(value) is int and key in ("image_size", "img_size") and value > 64
            patch = getattr(config, "patch_size", None)
            options = [3 * patch if type(patch) is int else 64, 64, 96] if picture else candidates(key, value, path)
            if options:
                plan.append((path, key, options))
    return sorted(plan, key=lambda p: (p[0], not CORE.search(p[1])))


def lower(given: Given, plan: list[tuple[Path, str, list[object]]], choice: int, model_type: str) -> Given:
    """Every planned value at once; token ids beyond a small vocabulary become 1."""
    parts = dict(walk(configured(model_type, given)))
    for path, key, options in plan:
        values = {key: options[min(choice, len(options) - 1)]}
        if key.endswith("vocab_size"):
            held = parts[path].to_dict().items()
            values |= {k: 1 for k, v in held if k.endswith("token_id") and type(v) is int and v >= 97}
        given = put(given, path, values)
    return given


def tiny(model_type: str, usual: Given, full: Held | None, builds: Builds) -> Given:
    """A small config of a type: each step is kept only if the model still builds."""
    try:
        given = shallow(model_type, start(model_type, usual), builds, full)
        plan = plan_for(model_type, given)
    except Exception:
        return usual

    def reduce(plan: list[tuple[Path, str, list[object]]], given: Given, choices: int) -> tuple[Given, bool]:
        for choice in range(choices):
            if builds(small := lower(given, plan, choice, model_type)):
                return small, True
        return given, False

    def halve(plan: list[tuple[Path, str, list[object]]], given: Given) -> Given:
        given, done = reduce(plan, given, 6 if len(plan) == 1 else 2)
        if done or len(plan) <= 1:
            return given
        middle = len(plan) // 2
        return halve(plan[middle:], halve(plan[:middle], given))

    reached, done = reduce(plan, given, 5)
    if done or not plan:
        return reached
    for path in sorted({p[0] for p in plan}):
        here = [p for p in plan if p[0] == path]
        given, done = reduce(here, given, 5)
        if not done:
            given, _ = reduce([p for p in here if CORE.search(p[1])], given, 5)
            given = halve([p for p in here if p[1] not in dig(given, path)], given) if here else given
    return given


def dig(given: Given, path: Path) -> Given:
    for key in path:
        given = given.get(key, {})
    return given


def literal_options(config: PreTrainedConfig, name: str) -> tuple[object, ...]:
    """The values that a field's annotation lists."""
    hint = next((f.type for f in fields(config) if f.name == name), None)
    found = re.search(r"Literal\[([^\]]*)\]", str(hint))
    return tuple(re.findall(r"['\"]([^'\"]+)['\"]", found[1])) if found else ()


def alternatives(config: PreTrainedConfig, name: str, value: object) -> list[list[object]]:
    """Changes of one key; of each inner list the first value that builds is taken."""
    optional = declared(type(config)).get(name, 0) is None
    hint = str(next((f.type for f in fields(config) if f.name == name), ""))
    if isinstance(value, bool):
        return [[not value]]
    if type(value) is int:
        more = [value + 1, value + 2] if LAYERS.search(name) or value < 1 else [2 * value, value + 1, value + 2, value - 1]
        return [more] + ([[None]] if optional else [])
    if value is None:
        if "bool" in hint:
            return [[True], [False]]
        known = next((v for rule, v in RULES if re.search(rule, name)), ())
        return [list(known)] if known and "int" in hint else []
    if isinstance(value, str):
        options = literal_options(config, name) or OPTIONS.get(name, ())
        return [[o] for o in options if o != value][:4]
    if isinstance(value, float) and re.search(r"ratio|expan|factor|mult", name):
        return [[value * 2, value * 1.5, value / 2]]
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return [[v] for v in other_orders(value, known_kinds(type(config)) if "layer" in name else set()) if v != value]
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return [[[2 * v for v in value], [v + 1 for v in value]]]
    return []


def known_kinds(cls: type[PreTrainedConfig]) -> set[str]:
    """The layer kinds that a class's modelling code names: another would build as if it were one of these."""
    folder = FilePath(inspect.getfile(cls)).parent
    source = "".join(path.read_text() for path in folder.glob("modeling_*.py"))
    return {kind for kind in KINDS if f'"{kind}"' in source}


def other_orders(value: list[str], kinds: set[str]) -> Iterator[list[str]]:
    """A list of layer kinds turned round, made all of one kind, and begun with a kind that it lacks."""
    yield value[::-1]
    yield from ([kind] * len(value) for kind in sorted(set(value))[:3])
    yield from ([kind, *value[1:]] for kind in sorted(kinds - set(value)))


def perturbations(model_type: str, given: Given) -> Iterator[tuple[str, list[tuple[object, Given]]]]:
    """(key, [(value, config), ...]): one key changed at a time."""
    labels = configured(model_type, given)
    yield "num_labels", [(labels.num_labels + 3, put(given, (), {"num_labels": labels.num_labels + 3}))]
    for path, config in walk(labels):
        for name, value in built(config).items():
            if INERT.search(name):
                continue
            for options in alternatives(config, name, value):
                changes = [(o, put(given, path, {name: o} | longer_lists(dig(given, path), name, value, o))) for o in options]
                yield ".".join((*path, name)), changes


def longer_lists(given: Given, name: str, value: object, wanted: object) -> Given:
    """One layer more: the lists over layers get one more of their last."""
    if not LAYERS.search(name) or type(wanted) is not int or type(value) is not int or wanted <= value:
        return {}
    return {k: v + v[-1:] * (wanted - value) for k, v in given.items() if isinstance(v, list) and len(v) == value}
