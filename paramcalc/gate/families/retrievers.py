"""Encoders made of decoders' and image encoders' pieces: AIMv2, MLCD, EmbeddingGemma 2, a privacy filter, a drafting assistant."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import clip, layers
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.gemma4 import overrides, sights
from paramcalc.gate.families.gemma_senses import senses_4
from paramcalc.gate.families.llama import GEMMA, LLAMA, PLAIN, attention, decoder, feed_forward, layer
from paramcalc.gate.families.mixtures import OF_ITS_SIZE
from paramcalc.gate.families.nesting import nested, told
from paramcalc.gate.families.recipes import Tree, depth, document, layer_norm, layered, plain_activation, rms, stack, tree, windows
from paramcalc.gate.families.vision import Words, encoder_layer, patch_embedding, patches, refuse, token
from paramcalc.gate.families.vision import attention as encoder_attention
from paramcalc.gate.families.vision import feed_forward as encoder_feed_forward

READ = 5  # layers of Muse Glimmer that its assistant reads, where the config does not say which
LABELS = 33  # that OpenAI's privacy filter tells apart, where the config does not say
AIM = Words("rms_norm1", "attention", "rms_norm2", "ffn", o="out_proj")


def aim_layers(c: Config) -> Tree:
    """Pre-norm layers of RMS norms, gated, with biases by switch."""
    head_dim = max(1, c.size("hidden_size") // c.size("num_attention_heads"))
    attend = encoder_attention(c, AIM, bias=c.flag("qkv_bias") or None, head_dim=head_dim)
    feed = encoder_feed_forward(c, AIM, gated=True, bias=c.flag("mlp_bias") or None, names=None)
    return stack("encoder.layers.{}", {"layer": encoder_layer(AIM, attend, feed, norm=rms)}, f"{c.size('num_hidden_layers')} layer")


def aim_vision(c: Config) -> Tree:
    """AIMv2's image encoder (Fini et al. 2024): positions learned, or computed where it is `is_native`; a class token that
    attends to all patches at the end."""
    rows, width = patches(c), c.size("hidden_size")
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embed"),
        "embedding_norm": rms("embeddings.rms_norm"),
    }
    if rows and not c.flag("is_native"):
        parts["position"] = {"rows": rows, "path": "embeddings.position_embedding"}
    parts |= {"layers": aim_layers(c), "norm": rms("rms_norm")}
    if c.flag("use_head", True):
        bias = c.flag("qkv_bias")
        attend = {name: dense(f"{name}_proj", width, width, bias) | {"component": "attention"} for name in ("k", "v")}
        output = dense("output_proj", width, width) | {"component": "attention"}
        parts["attention_pooling"] = {"path": "head", "cls_token": token("cls_token", 1, 1, width), **attend, "output": output}
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=rows or None, cache=False)


def aim_text(c: Config) -> Tree:
    parts: Tree = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embeddings.token_embedding"},
        "position": {"rows": c.size("max_position_embeddings"), "path": "embeddings.position_embedding"},
        "layers": aim_layers(c),
        "norm": rms("rms_norm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def mlcd(c: Config) -> Tree:
    """MLCD (An et al. 2024): CLIP's image encoder with rotary positions, the class token's own learned."""
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    place = token("class_pos_emb", 1, max(1, width // heads // 2)) | {"type": "embedding", "component": "position_embedding"}
    parts = {
        "class_position": place,
        "patches": patch_embedding(c, "embeddings.patch_embedding", bias=False),
        "cls_token": token("embeddings.class_embedding", width),
        "embedding_norm": layer_norm("pre_layrnorm"),
        "layers": layers(c),
        "norm": layer_norm("post_layernorm"),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, tokens=patches(c) + 1, cache=False)


def gemma_layers(c: Config, size: int) -> Tree:
    """Gemma 4's layers, each with a narrow part of its own of every token."""
    period = c.optional("sliding_window_pattern") or 6
    words = sights(c, period, last_global=True)
    own = overrides(c, words, kv_heads=c.optional("num_global_key_value_heads") or 1)
    forms = [f"{own(index, 'head_dim') or ''}x{own(index, 'num_key_value_heads') or ''}" for index in range(len(words))]
    names = {form: f"heads_{number}" for number, form in enumerate(dict.fromkeys(forms))}
    step: Tree = {
        "layer_gate": dense("ple_block.per_layer_input_gate", c.size("hidden_size"), size, False),
        "layer_up": dense("ple_block.per_layer_projection", size, c.size("hidden_size"), False),
        "layer_out": rms("ple_block.post_per_layer_input_norm"),
    }

    def build(sight: str, name: str) -> Tree:
        index = next(place for place, form in enumerate(forms) if names[form] == name)
        fields = tree(head_dim=own(index, "head_dim"), kv_heads=own(index, "num_key_value_heads"))
        feed = feed_forward(c, bias=False, activation=plain_activation(c, "hidden_activation", "gelu_pytorch_tanh"))
        made = layer(GEMMA, rms, attention(c, sight, qk_norm="head") | fields, feed)
        return made | step | {"flow": [*made["flow"], "layer_gate layer_up layer_out +"]}

    return layered("layers.{}", [words, [names[form] for form in forms]], build)


def embedding_gemma(c: Config) -> Tree:
    """EmbeddingGemma 2 (Google 2026): Gemma 4's layers looking both ways, and a projection of the mean."""
    width, size = c.size("hidden_size"), c.size("hidden_size_per_layer_input")
    parts = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": "embed_tokens"},
        "layer_projection": dense("ple.per_layer_model_projection", width, depth(c) * size, False),
        "layer_norm": rms("ple.per_layer_projection_norm", size=size),
        "layers": gemma_layers(c, size),
        "norm": rms("norm"),
        "projection": dense("embedding_projection", width, c.size("embedding_dim"), False),
    }
    if c.task("base") != "base":
        refuse(c)
    return document(c, parts, cache=False)


def embedding_gemma_whole(c: Config) -> Tree:
    """The same with Gemma 4's encoders of images and sounds, where the config has them."""
    words = c.part("text_config")
    width = words.size("hidden_size")
    if c.task("base") != "base":
        refuse(c)
    return document(c, senses_4(c, width) | nested(words, "text", "language_model"), width=width, cache=False)


def privacy_filter(c: Config) -> Tree:
    """OpenAI's privacy filter (2026): gpt-oss's layers looking both ways within a window, and a label for each token."""
    if c.task("base") not in ("base", "token_classification"):
        refuse(c)
    c.serves = c.task("base")
    if not c.spec and not c.has("id2label") and not c.has("num_labels"):
        told(c, num_labels=LABELS)
    experts = partial(OF_ITS_SIZE, router="router", router_fields={"bias": True}, bias=True, transposed=True)
    made = decoder(c, attend=partial(attention, sinks=True), experts=experts, sees=lambda c: ["local"] * depth(c))
    return made | {"cache": False}


def glimmer_assistant(c: Config) -> Tree:
    """Muse Glimmer's assistant (Meta 2026): a few layers without a table, over states of some of the large model's layers."""
    width, stated = c.size("hidden_size"), c.listed("target_layer_ids")
    read = READ if stated is None else max(1, len(stated))
    if c.task("base") != "base":
        refuse(c)

    def build(word: str) -> Tree:
        return layer(LLAMA, rms, attention(c, word, bias=False, qk_norm="head"), PLAIN(c))

    context = {"linear": dense("fc", read * width, width, False), "norm": rms("output_norm_enc", size=width)}
    stacked = layered("layers.{}", [windows(c, lambda _: True)], build)
    return document(c, {"context": {"path": "encoder", **context}, "layers": stacked, "norm": rms("norm")})


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "aimv2": clip,
    "aimv2_text_model": aim_text,
    "aimv2_vision_model": aim_vision,
    "embedding_gemma2": embedding_gemma_whole,
    "embedding_gemma2_text": embedding_gemma,
    "mlcd": mlcd,
    "mlcd_vision_model": mlcd,
    "muse_glimmer_assistant": glimmer_assistant,
    "openai_privacy_filter": privacy_filter,
}
