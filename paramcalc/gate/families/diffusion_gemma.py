"""Diffusion Gemma: a Gemma 4 that reads, and the same layers again, which denoise a block of tokens."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import head
from paramcalc.gate.families.gemma4 import gemma4_text
from paramcalc.gate.families.gemma_senses import senses_4
from paramcalc.gate.families.nesting import beneath, nested, told
from paramcalc.gate.families.recipes import Tree, document, plain_activation, rms
from paramcalc.gate.families.vision import refuse

TASKS = {"DiffusionGemmaForBlockDiffusion": "generation", "DiffusionGemmaModel": "base"}


def text(c: Config) -> Tree:
    """Gemma 4's text with experts in each layer and keys for values in global ones, which its config does not say."""
    told(c, enable_moe_block=True, attention_k_eq_v=True)
    return gemma4_text(c)


def biases(c: Config, layers: Tree) -> Tree:
    """What the denoising layers do not share with the reading ones: their biases, if there are any."""
    heads, kv_heads, width = c.size("num_attention_heads"), c.size("num_key_value_heads"), c.size("hidden_size")
    made: Tree = {}
    for name, layer in layers["kinds"].items():
        attend = layer["attention"]
        head_dim = attend.get("head_dim") or max(1, width // heads)
        keys = (attend.get("kv_heads") or kv_heads) * head_dim
        sizes = {"q": heads * head_dim, "k": keys, "v": keys, "o": width}
        if attend.get("value_is_key"):
            del sizes["v"]
        about = {"kind": "tensor", "type": "bias", "component": "attention"}
        made[name] = {f"{key}_bias": about | {"path": f"self_attn.{key}_proj.bias", "shape": [size]} for key, size in sizes.items()}
    return {"path": "layers.{}", "kinds": made, "order": layers["order"]}


def diffusion_gemma(c: Config) -> Tree:
    """Diffusion Gemma (Google 2026). Its decoder has the encoder's weights, unless they are untied, and conditions itself
    on its last step through a gated network."""
    words = c.part("text_config")
    width = words.size("hidden_size")
    task = TASKS.get(c.architecture() or "DiffusionGemmaForBlockDiffusion", "") or c.task("base")
    if task not in ("base", "generation"):
        refuse(c)
    parts = beneath("encoder", senses_4(c, width) | nested(words, "text", "language_model"))
    conditioning = {
        "path": "decoder.self_conditioning",
        "norm": rms("pre_norm"),
        "feed_forward": {
            "path": "",
            "size": words.size("intermediate_size"),
            "activation": plain_activation(words, "hidden_act", "gelu_pytorch_tanh"),
        },
        "flow": ["norm feed_forward +"],
    }
    parts["self_conditioning"] = conditioning
    if not c.flag("tie_word_embeddings", True):
        parts |= nested(c.part("text_config"), "denoiser", "decoder", cache=False)
    elif words.flag("attention_bias"):
        parts["denoiser"] = {"path": "decoder", "layers": biases(words, parts["text"]["layers"])}
    parts = parts if task == "base" else beneath("model", parts)
    return document(c, parts | head(c, words, task), width=width, context=words.optional("max_position_embeddings"))


FAMILIES = {"diffusion_gemma": diffusion_gemma, "diffusion_gemma_text": text}
