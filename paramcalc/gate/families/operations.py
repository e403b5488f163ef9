"""How each family's layers are written out, where that changes neither parameters nor caches but what training keeps.

Facts of transformers 5.23's `modeling_*.py`: how an RMS norm is spelled, in which format plain attention takes its softmax,
where indices of tables come from, which share of a head's dims rotates, whether logits are bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree


def _types(text: str) -> frozenset[str]:
    return frozenset(text.split())


NORMS: dict[str, frozenset[str]] = {
    "promote": _types("longt5 mt5 pop2piano switch_transformers t5 umt5"),
    "unit": _types(
        """gemma gemma2 gemma3 gemma3_text minimax_m3_vl_text qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next recurrent_gemma
    vaultgemma"""
    ),
    "late": _types("afmoe beam flex_olmo gpt_oss olmo2 olmo3 olmo_hybrid"),
    "power": _types("diffusion_gemma_text gemma4 gemma4_text gemma4_unified gemma4_unified_text"),
    "wide": _types("gemma3n gemma3n_text helium moshi nemotron_h"),
}
"""Style of an RMS norm (see `norm`) to the model types that write it so; all others write it as Llama does."""
LAYER_NORMS: dict[str, frozenset[str]] = {
    "unit": _types("nemotron"),
    "wide": _types("olmo"),
    "written": _types("cohere cohere2 cohere2_moe cohere_compass_text"),
}
"""The same of a layer norm."""

STREAM_SOFTMAX = _types(
    """albert bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small camembert ctrl
    data2vec-audio data2vec-text distilbert electra ernie esm falcon gpt2 gpt_oss gte hubert internvl_vision
    jina_embeddings_v3 llama4 llama4_text longt5 luke m2m_100 marian mbart mimo_v2_flash mobilebert mt5 musicgen mvp
    nllb-moe nomic_bert openai-gpt pegasus plbart pop2piano roberta roberta-prelayernorm roc_bert roformer
    switch_transformers t5 tapas trocr umt5 unispeech unispeech-sat wav2vec2 whisper xglm xlm-roberta xlm-roberta-xl xmod"""
)
"""Model types whose plain attention takes its softmax in the format of its inputs, not in fp32."""

PLAIN_ONLY = _types(
    """big_bird bigbird_pegasus bloom codegen convbert cpmant flaubert fsmt gpt_neo gpt_neox_japanese gptj granite_swa granitemoe_swa
    ibert led luke megatron-bert mpnet mpt mra mvp nllb-moe openai-gpt pegasus_x prophetnet rembert roformer squeezebert
    switch_transformers tapas trocr xglm xlm"""
)
"""Model types whose class has no attention by torch's fused kernels, and takes the plain one unless told otherwise."""
WIDE_LOSS = _types("esmc eurobert modernbert neomme ultrabert")
"""Model types whose masked-language loss is taken in fp32."""
LOCAL_TABLES = _types(
    """gemma3 gemma3_text gemma3n gemma3n_text gemma4 gemma4_text gemma4_unified gemma4_unified_text lfm3 modernbert modernbert-decoder
    olmo3 ultrabert"""
)
"""Model types whose windowed layers rotate by tables of their own."""
WIDE_SCORES = _types("codegen gpt_neo gptj")
"""Model types whose plain attention casts queries and keys to fp32."""

PER_TOKEN_POSITIONS = _types(
    """camembert data2vec-text luke mvp opt roberta roberta-prelayernorm tapas whisper xlm-roberta xlm-roberta-xl xmod"""
)
"""Model types that compute a position for each token from the mask or the input."""
KEPT_POSITIONS = _types("""albert bert bert-generation big_bird distilbert electra ernie fnet layoutlm mobilebert openai-gpt roc_bert""")
"""Model types that keep their positions as a buffer."""
UNSHIFTED = _types("bart bigbird_pegasus blenderbot blenderbot-small marian mbart mvp pegasus plbart trocr")
"""Model types whose decoder on its own takes the loss of its logits as they are, against labels as they are given."""
SHIFTED_LOGITS = _types("bart bigbird_pegasus blenderbot blenderbot-small marian mbart mvp pegasus plbart")
"""Model types that add a buffer to the logits of their decoder."""
ENCODER_POSITIONS = _types("bart mbart plbart")
"""Model types that compute a position for each token of the encoder alone."""
RELATIVE = _types("longt5 mt5 pop2piano switch_transformers t5 umt5")
"""Model types with a table of relative positions."""


ROTARY: dict[str, frozenset[str]] = {
    "joined": _types(
        """bamba glm4_moe laguna minimax_m2 minimax_m3_vl_text nemotron phi3 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next"""
    ),
    "wide": _types("flex_olmo lfm3 olmo olmo2 olmo3 olmo_hybrid"),
    "complex": _types("llama4 llama4_text"),
    "each": _types("gptj"),
    "each_wide": _types("codegen"),
    "repeated": _types("helium roformer"),
    "own_joined": _types("recurrent_gemma"),
    "repeated_joined": _types("glm glm4"),
    "repeated_wide": _types("ernie4_5 ernie4_5_moe"),
}
"""Style of rotary positions (see `attention`) to the model types that write them so; all others write them as Llama does."""
BLOCKS = _types("gemma3")
"""Model types whose language model lets tokens of one image see each other (PaliGemma's would, but its mask is left out as a plain
causal one is)."""
TOKEN_TABLES = _types(
    """cohere_compass_text modernbert-decoder qwen2_5_vl_text qwen2_vl_text qwen3_5_moe_text qwen3_5_text qwen3_vl_moe_text
    qwen3_vl_text"""
)
"""Model types whose rotary tables have a row for each token of the batch."""
ROTARY_SHARE = {
    0.25: _types("gpt_neox qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_next stablelm"),
    0.5: _types("bamba glm glm4 glm4_moe nemotron persimmon phi recurrent_gemma"),
}
"""Share of a head's dims that rotates where the config does not say."""

CHOSEN_SCORES = _types("aria_text gpt_oss granitemoe granitemoe_swa granitemoehybrid granitemoeshared jetmoe")
"""Model types that take a softmax over the chosen experts' logits alone."""
SIGMOID_SCORES = _types(
    """bailing_hybrid deepseek_v3 deepseek_v32 dots1 exaone_moe glm4_moe glm4_moe_lite glm_moe_dsa kimi_linear lfm2_moe minimax_m2
    minimax_m3_vl_text solar_open"""
)
"""Model types that score each expert by a sigmoid."""
WIDE_ROUTERS = _types(
    """axk1 axk2 bailing_hybrid beam deepseek_v2 deepseek_v3 deepseek_v32 dots1 ernie4_5_moe ernie4_5_vl_moe exaone_moe flint
    glm4_moe glm4_moe_lite glm4v_moe glm_moe_dsa hy_v3 hy_v4 kimi_linear kolibri1 mimo_v2_flash nemotron_h solar_open"""
)
"""Model types whose router multiplies in fp32."""
NARROW_SHARES = _types(
    """cohere2_moe ernie4_5_moe ernie4_5_vl_moe flex_olmo granitemoe granitemoe_swa granitemoehybrid granitemoeshared
    jamba jetmoe laguna mellum olmoe qwen2_moe qwen3_5_moe qwen3_5_moe_text qwen3_moe qwen3_next qwen3_omni_moe_text qwen3_vl_moe
    qwen3_vl_moe_text"""
)
"""Model types that cast a token's shares to the stream's format."""
MAYBE_NORMALIZED = _types(
    """bailing_hybrid deepseek_v2 deepseek_v3 deepseek_v32 dots1 exaone_moe flex_olmo glm4_moe kimi_linear olmoe qwen2_moe
    qwen3_moe qwen3_next solar_open"""
)
"""Model types whose config says whether chosen scores are divided by their sum."""
NORMALIZED = _types("bailing_hybrid kimi_linear")
"""Those of them where they are unless it says otherwise."""
KEPT_TYPES = _types("big_bird fnet")
"""Model types that keep their token types as a buffer."""
PER_TOKEN_TYPES = _types(
    """camembert data2vec-text gte jina_embeddings_v3 layoutlm luke nomic_bert roberta roberta-prelayernorm roformer
    xlm-roberta xlm-roberta-xl xmod"""
)
"""Model types that make token types for each token."""


def written(c: Config, document: Tree) -> Tree:
    """The full form with the facts of this family's layers. Leaves what it is given as it is."""
    model_type = c.model_type
    facts: dict[str, dict[str, Any]] = {"attention": _attention(c), "position": _position(model_type)}
    if rate := c.number("residual_dropout"):
        facts["attention"]["output_dropout"] = rate
        facts["feed_forward"] = {"dropout": rate}
    for name, kind, part in _parts(document):
        for key, value in facts.get(kind, {}).items():
            if key not in ("rotary_dims", "rotary_style", "token_tables") or part.get("rotary"):
                part.setdefault(key, value)
        if kind == "norm" and (style := _norm(model_type, part.get("type", "rms"))):
            part.setdefault("style", style)
        if kind == "attention" and model_type in LOCAL_TABLES and part.get("window"):
            part.setdefault("local_tables", True)
        if kind == "embedding":
            _table(model_type, name, part)
        if kind == "head":
            _head(c, part)
        if kind == "experts":
            _router(c, part)
            if model_type in ("gpt_oss", "minimax_m3_vl_text"):
                part["expert"] = {"clamped": True} | part["expert"]
    _two_stacks(model_type, document.get("parts", {}))
    return document


def _two_stacks(model_type: str | None, parts: Tree) -> None:
    """An encoder with a decoder, whose input is made from the labels, shifted by one."""
    if "encoder" not in parts or "decoder" not in parts:
        return
    for _, kind, part in _parts({"decoder": parts["decoder"]}):
        if kind == "embedding" and part.get("index") != "relative":
            part["index"] = "made"
    for _, kind, part in _parts({"encoder": parts["encoder"]}):
        if kind == "position" and model_type in ENCODER_POSITIONS:
            part["index"] = "made"


def _parts(tree: Tree) -> Iterator[tuple[str, str, Tree]]:
    """Every part below a tree with its name and kind."""
    for name, value in tree.items():
        if not isinstance(value, dict):
            continue
        if name == "parts":
            yield from _parts(value)
        elif name == "kinds":  # a layer is a group, whatever it is called
            for kind, layer in value.items():
                yield from _parts({kind: layer} if "kind" in layer else layer)
        elif isinstance(value.get("kind", name), str) and name not in ("names", "conventions", "quantization"):
            yield name, value.get("kind", name), value
            yield from _parts(value)


def _norm(model_type: str | None, of: str) -> str | None:
    """The style of a family's norms of a type."""
    styles = {"rms": NORMS, "layer": LAYER_NORMS}.get(of, {})
    return next((style for style, types in styles.items() if model_type in types), None)


def _attention(c: Config) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if c.model_type in STREAM_SOFTMAX:
        facts["upcast"] = False
    if c.model_type in RELATIVE:
        facts["relative"] = True
    if c.model_type in ("hunyuan_v1_dense", "hunyuan_v1_moe"):
        facts["norm_last"] = True
    if c.model_type in WIDE_SCORES:
        facts["wide_scores"] = True
    if c.model_type == "falcon":
        facts["ungrouped"] = True
    if c.model_type == "whisper":
        facts["contiguous"] = True
    if c.model_type in PLAIN_ONLY:
        facts["plain"] = True
    if c.model_type == "mvp":
        facts["handed_mask"] = True
    if c.model_type == "xglm":
        facts["floored"] = True
    if c.model_type in ("granite_swa", "granitemoe_swa"):
        facts["sink_scale"] = True
    if style := next((style for style, types in ROTARY.items() if c.model_type in types), None):
        facts["rotary_style"] = style
    if style := next((style for style in ("unit", "late", "power") if c.model_type in NORMS[style]), None):
        facts["qk_norm_style"] = style
    if c.model_type in BLOCKS:
        facts["blocks"] = True
    if c.model_type in TOKEN_TABLES:
        facts["token_tables"] = True
    if dims := _rotary_dims(c):
        facts["rotary_dims"] = dims
    return facts


def _rotary_dims(c: Config) -> int | None:
    """Dims of a head that rotate, where not all do."""
    if c.model_type in ("codegen", "gptj", "minimax_m2"):
        return c.optional("rotary_dim")
    share = _share(c)
    if not share or share >= 1:
        return None
    head_dim = c.optional("head_dim") or max(1, (c.optional("hidden_size") or 0) // (c.optional("num_attention_heads") or 1))
    return max(2, int(head_dim * share))


def _share(c: Config) -> float:
    for key in ("partial_rotary_factor", "rotary_pct"):
        if share := c.number(key):
            return share
    parameters = c.value("rope_parameters")
    stated = parameters.get("partial_rotary_factor") if isinstance(parameters, dict) else None
    return float(stated) if isinstance(stated, int | float) and math.isfinite(stated) else _usual_share(c.model_type)


def _usual_share(model_type: str | None) -> float:
    return next((share for share, types in ROTARY_SHARE.items() if model_type in types), 1.0)


def _position(model_type: str) -> dict[str, Any]:
    if model_type in PER_TOKEN_POSITIONS:
        return {"index": "made"}
    return {"index": "kept"} if model_type in KEPT_POSITIONS else {}


def _head(c: Config, part: Tree) -> None:
    if cap := c.number("final_logit_softcapping") or c.number("logits_soft_cap"):
        part.setdefault("softcap", cap)
    if c.model_type in SHIFTED_LOGITS and c.architecture().endswith(("ForConditionalGeneration", "MTModel")):
        part.setdefault("shifted", True)
    if c.architecture().endswith("ForMaskedLM"):
        part.setdefault("next_token", False)
        if c.model_type in WIDE_LOSS:
            part.setdefault("wide", True)
    elif c.architecture().endswith(("ForCausalLM", "LMHeadModel", "GenerationDecoder")):
        part.setdefault("next_token", c.model_type not in UNSHIFTED)


def _router(c: Config, part: Tree) -> None:
    facts: dict[str, Any] = {}
    if c.model_type in CHOSEN_SCORES:
        facts["scores"] = "chosen"
    elif c.model_type in SIGMOID_SCORES:
        facts["scores"] = "sigmoid"
    if c.model_type in MAYBE_NORMALIZED and not c.flag("norm_topk_prob", c.model_type in NORMALIZED):
        facts["normalized"] = False
    if c.model_type in ("deepseek_v2", "jamba"):
        facts["normalized"] = False
    if c.model_type in WIDE_ROUTERS:
        facts["wide"] = True
    if c.model_type in NARROW_SHARES:
        facts["narrow"] = True
    if c.model_type in ("aria_text", "lfm2_moe"):
        facts |= {"upcast": False, "narrow": True}
    if c.model_type == "hunyuan_v1_moe":
        facts |= {"wide": True, "held_wide": True}
    if c.model_type in ("ernie4_5_moe", "ernie4_5_vl_moe"):
        facts |= {"floor": True, "held_wide": True}
    if facts and part.get("router", {}) is not None:
        part["router"] = facts | (part.get("router") or {})


def _table(model_type: str, name: str, part: Tree) -> None:
    if name == "token_types":
        part.setdefault("index", "made" if model_type in PER_TOKEN_TYPES else "kept" if model_type in KEPT_TYPES else "shared")
    elif name.startswith("relative"):
        part.setdefault("index", "relative")
