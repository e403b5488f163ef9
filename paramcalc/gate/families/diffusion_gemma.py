"""Diffusion Gemma: a Gemma 4 that reads, and the same layers again, which denoise a block of tokens."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import head
from paramcalc.gate.families.gemma4 import gemma4_text
from paramcalc.gate.families.gemma_senses import senses_4
from paramcalc.gate.families.nesting import beneath, nested, told
from paramcalc.gate.families.recipes import Tree, document, plain_activation, rms, under
from paramcalc.gate.families.vision import refuse


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


def conditioning(words: Config) -> Tree:
    """The gated network that reads the last step's prediction."""
    activation = plain_activation(words, "hidden_act", "gelu_pytorch_tanh")
    network = {"path": "", "size": words.size("intermediate_size"), "activation": activation}
    return {"path": "self_conditioning", "norm": rms("pre_norm"), "feed_forward": network, "flow": ["norm feed_forward +"]}


def diffusion_gemma(c: Config) -> Tree:
    """Diffusion Gemma (Google 2026). Its decoder has the encoder's weights, unless they are untied, and conditions itself
    on its last step."""
    words, named = c.part("text_config"), c.architecture()
    width = words.size("hidden_size")
    task = "generation" if named.endswith("ForBlockDiffusion") or not named else c.task("base")
    decodes = named.endswith("DecoderModel")
    if not decodes and named.endswith("EncoderModel"):
        task = "base"
    if task not in ("base", "generation"):
        refuse(c)
    if decodes:
        parts = nested(words, "denoiser", "", cache=False) | {"self_conditioning": conditioning(words)}
        return document(c, parts, width=width)
    parts = senses_4(c, width) | nested(words, "text", "language_model")
    if named.endswith("EncoderModel"):
        return document(c, parts, width=width, context=words.optional("max_position_embeddings"))
    parts = beneath("encoder", parts)
    parts |= under("decoder.", {"self_conditioning": conditioning(words)})
    if not c.flag("tie_word_embeddings", True):
        parts |= nested(c.part("text_config"), "denoiser", "decoder", cache=False)
    elif words.flag("attention_bias"):
        parts["denoiser"] = {"path": "decoder", "layers": biases(words, parts["text"]["layers"])}
    parts = parts if task == "base" else beneath("model", parts)
    return document(c, parts | head(c, words, task), width=width, context=words.optional("max_position_embeddings"))


FAMILIES = {"diffusion_gemma": diffusion_gemma, "diffusion_gemma_text": text}
