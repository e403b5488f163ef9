"""Gemma 3n and 4: layers that use the keys and values of earlier ones, and an embedding of each token for each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import GEMMA, attention, feed_forward, layer
from paramcalc.gate.families.recipes import WINDOWS, Tree, decoder_parts, depth, document, layered, per_layer, plain_activation, rms, tree


def dense(path: str, inputs: int | None, outputs: int | None, component: str | None = None) -> Tree:
    return tree(kind="dense", path=path, inputs=inputs, outputs=outputs, bias=False, component=component)


def sights(c: Config, period: int, *, last_global: bool) -> list[str]:
    """Windows but for each layer that ends a period, and, in Gemma 4, for the last one whatever is said."""
    words = per_layer(c, "layer_types", WINDOWS, lambda index: "local" if (index + 1) % period else "global")
    return [*words[:-1], "global"] if last_global else words


def sharing(c: Config, words: list[str], *, all_shared: bool = False) -> list[str]:
    """Which layers make keys and values (`own`) and which use those of the last such layer of their sort (`shared`)."""
    shared = len(words) if all_shared else min(c.zero_or("num_kv_shared_layers"), len(words))
    first = len(words) - shared
    if shared and not all_shared and set(words[:first]) != set(words):
        c.fail("num_kv_shared_layers", f"leaves {first} layers with keys and values of their own, not one of each sort that is shared")
    return ["own" if index < first else "shared" for index in range(len(words))]


def per_layer_table(c: Config, size: int, layers: int, **fields: object) -> Tree:
    """The second table, with a row for each token and layer, and what the first table's row adds to it."""
    rows = c.size("vocab_size_per_layer_input")
    names = {"table": "embed_tokens_per_layer", "projection": "per_layer_model_projection", "norm": "per_layer_projection_norm"}
    kind = {"kind": "per_layer_embedding", "path": ""}
    return {"layer_embedding": kind | tree(vocabulary=rows, layers=layers, size=size, **fields) | {"names": names}}


def per_layer_step(c: Config, size: int) -> Tree:
    """How a layer takes its part of the second table in: a gate, a projection, a norm."""
    activation = plain_activation(c, "hidden_act", "gelu_pytorch_tanh")
    names = {"gate": "per_layer_input_gate", "up": "per_layer_projection"}
    gate = {"kind": "per_layer_gate", "path": "", "size": size, "activation": activation, "names": names}
    return {"layer_gate": gate, "layer_out": rms("post_per_layer_input_norm")}


LAYER_STEP = "layer_gate layer_out +"


def attending(c: Config, sight: str, share: str) -> Tree:
    attend = attention(c, sight, qk_norm="head", reuses=share == "shared" or None)
    if "window" in attend and c.value("use_bidirectional_attention") == "all":
        attend["window"] = attend["window"] // 2 + 1
    return attend


def sizes(c: Config) -> list[str]:
    """The network's size in each layer, as words."""
    value, layers = c.value("intermediate_size"), depth(c)
    listed = c.sizes("intermediate_size", least=1) if isinstance(value, list) else [c.size("intermediate_size")] * layers
    if len(listed) != layers:
        c.fail("intermediate_size", f"gives {len(listed)} sizes, but num_hidden_layers is {layers}")
        listed = [1] * layers
    return [f"of_{size}" for size in listed]


def gemma3n_streams(c: Config) -> Tree:
    """AltUp (Baykal et al. 2023): each layer predicts all streams, computes one, and corrects the others by it."""
    streams = c.size("altup_num_inputs")
    return {
        "path": "altup",
        "scale": tree(kind="tensor", path="correct_output_scale", shape=[c.size("hidden_size")]),
        "correct": dense("correction_coefs", streams, streams, "other"),
        "predict": dense("prediction_coefs", streams, streams * streams, "other"),
        "router": dense("modality_router", None, streams, "other"),
        "norm": rms("router_norm"),
    }


def laurel(c: Config) -> Tree:
    """LAuReL (Menghani et al. 2024): a low-rank map beside attention."""
    rank = c.size("laurel_rank")
    return {
        "path": "laurel",
        "left": dense("linear_left", None, rank),
        "right": dense("linear_right", rank, None),
        "norm": rms("post_laurel_norm"),
    }


def gemma3n_text(c: Config) -> Tree:
    """Gemma 3n (Gemma Team 2025): `altup_num_inputs` streams, one of which each layer computes."""
    words, size, streams = sights(c, 5, last_global=False), c.size("hidden_size_per_layer_input"), c.size("altup_num_inputs")
    activation = plain_activation(c, "hidden_act", "gelu_pytorch_tanh")

    def build(sight: str, share: str, network: str) -> Tree:
        feed = feed_forward(c, bias=False, size=int(network.removeprefix("of_")), activation=activation)
        made = layer(GEMMA, rms, attending(c, sight, share), feed)
        flow = ["norm_1 (laurel + | attention norm_2) +", made["flow"][1], LAYER_STEP]
        return {"streams": gemma3n_streams(c)} | made | {"laurel": laurel(c)} | per_layer_step(c, size) | {"flow": flow}

    layers = layered("layers.{}", [words, sharing(c, words), sizes(c)], build)
    extra = per_layer_table(c, size, len(words))
    for name, path in (("streams_in", "altup_projections.{}"), ("streams_out", "altup_unembed_projections.{}")):
        if streams > 1:
            extra[name] = {"kind": "group", "path": path, "repeat": streams - 1, "projection": dense("", None, None)}
    return document(c, decoder_parts(c, layers, rms("norm"), extra=extra, tie=True))


def overrides(c: Config, words: list[str], *, kv_heads: int | None = None) -> Callable[[int, str], int | None]:
    """What a layer's heads are where they are not the model's: from `per_layer_config`, else as global layers have them
    (with `kv_heads`, if given)."""
    stated = c.value("per_layer_config") if c.states("per_layer_config") else None
    found: dict[int, Mapping[str, object]] = {}
    if isinstance(stated, Mapping):
        for key, values in stated.items():
            if str(key).isdecimal() and isinstance(values, Mapping) and set(values) <= {"head_dim", "num_key_value_heads"}:
                found[int(key)] = values
            else:
                c.fail("per_layer_config", f"expected head_dim and num_key_value_heads by layer, got {key}: {values!r:.60}")
    elif not c.states("per_layer_config"):
        kv_heads = kv_heads or (c.optional("num_global_key_value_heads") if c.flag("attention_k_eq_v") else None)
        usual = tree(head_dim=c.optional("global_head_dim") or 512, num_key_value_heads=kv_heads)  # 512: the class's own default
        found = {index: usual for index, word in enumerate(words) if word == "global"}
    c.ignore("num_global_key_value_heads", "global_head_dim", "is_causal")

    def value(index: int, key: str) -> int | None:
        number = found.get(index, {}).get(key)
        if number is None or (type(number) is int and number > 0):
            return number
        c.fail("per_layer_config", f"expected a size for {key}, got {number!r:.40}")
        return None

    return value


def gemma4_experts(c: Config, activation: str) -> Tree:
    """Experts beside the network, with norms of their own; the router reads the stream, scales it and each expert's weight."""
    expert = {"size": c.size("moe_intermediate_size"), "activation": activation}
    names = {
        "router": "router.proj",
        "router_scale": "router.scale",
        "expert_scale": "router.per_expert_scale",
        "norm": "pre_feedforward_layernorm_2",
    }
    return {
        "norm_5": rms("post_feedforward_layernorm_1"),
        "experts": {
            "path": "",
            "count": c.size("num_experts"),
            "visited": c.optional("num_experts_per_tok"),
            "expert": expert,
            "router": {"scaled": True},
            "norm": "power",
            "names": names,
        },
        "norm_6": rms("post_feedforward_layernorm_2"),
    }


def gemma4_text(c: Config, *, all_shared: bool = False) -> Tree:
    """Gemma 4 (Google 2026): wider heads in global layers, whose values may be their keys; the last layers may share theirs."""
    words, size = sights(c, 6, last_global=True), c.zero_or("hidden_size_per_layer_input")
    shares, own = sharing(c, words, all_shared=all_shared), overrides(c, words)
    activation = plain_activation(c, "hidden_act", "gelu_pytorch_tanh")
    experts, same, wide = c.flag("enable_moe_block"), c.flag("attention_k_eq_v"), c.flag("use_double_wide_mlp")
    heads = [f"{own(index, 'head_dim') or ''}x{own(index, 'num_key_value_heads') or ''}" for index in range(len(words))]
    forms = {form: f"heads_{number}" for number, form in enumerate(dict.fromkeys(heads))}
    by_form = {name: heads.index(form) for form, name in forms.items()}

    def build(sight: str, share: str, form: str) -> Tree:
        layer_index = by_form[form]
        fields = tree(head_dim=own(layer_index, "head_dim"), kv_heads=own(layer_index, "num_key_value_heads"))
        attend = attending(c, sight, share) | fields | tree(value_is_key=(same and sight == "global") or None) | {"v_norm": True}
        if "shared" in shares:
            attend["borrows" if share == "shared" else "lends"] = sight
        feed = feed_forward(
            c, bias=False, size=c.size("intermediate_size") * (2 if wide and share == "shared" else 1), activation=activation
        )
        made = (
            layer(GEMMA, rms, attend, feed) | (gemma4_experts(c, activation) if experts else {}) | (per_layer_step(c, size) if size else {})
        )
        flow = [*made.pop("flow")]
        if experts:
            flow[1] = "(norm_3 feed_forward norm_5 | experts norm_6) norm_4 +"
        return made | {"flow": flow + ([LAYER_STEP] if size else [])}

    layers = layered("layers.{}", [words, shares, [forms[form] for form in heads]], build)
    extra = per_layer_table(c, size, len(words), norm_style="power") if size else {}
    return document(c, decoder_parts(c, layers, rms("norm"), extra=extra, tie=True))


def assistant(c: Config) -> Tree:
    """Gemma 4's assistant: a small decoder that drafts tokens from the large one's states, keys and values.

    Its layers have no keys and values unless `num_kv_shared_layers` leaves some.
    """
    if c.task("causal_lm") != "causal_lm":
        c.fail("architectures", f"{c.architecture()} is not modelled")
    words = c.part("text_config")
    words.serves = "base"
    width, backbone = words.size("hidden_size"), c.size("backbone_hidden_size")
    inner = gemma4_text(words, all_shared=not words.zero_or("num_kv_shared_layers"))
    parts: Tree = {"text": {"path": "model", **inner["parts"]}}
    tie = "text.embedding" if c.flag("tie_word_embeddings", True) else None
    parts["head"] = tree(kind="head", path="lm_head", outputs=words.size("vocab_size"), tied=tie)
    parts["projection_in"] = dense("pre_projection", 2 * backbone, width)
    parts["projection_out"] = dense("post_projection", width, backbone)
    if c.flag("use_ordered_embeddings"):
        parts["centroids"] = dense("masked_embedding.centroids", width, c.size("num_centroids"), "head")
    return document(c, parts, width=width, context=words.optional("max_position_embeddings"))


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "gemma3n_text": gemma3n_text,
    "gemma4_text": gemma4_text,
    "gemma4_unified_text": gemma4_text,
    "gemma4_assistant": assistant,
    "gemma4_unified_assistant": assistant,
}
