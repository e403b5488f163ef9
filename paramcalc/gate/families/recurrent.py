"""Decoders without attention, or with little of it: state spaces, RWKV, xLSTM, Griffin."""

from __future__ import annotations

from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.recipes import Tree, decoder_parts, depth, document, layer_norm, layered, rate, rms, stack, tree, window_size


def auto(c: Config, key: str, computed: int) -> int:
    """A size that may be left to the config's class, as the word "auto"."""
    return computed if c.value(key) == "auto" else c.size(key, computed)


def step_rank(c: Config, key: str) -> int:
    """The rank of Mamba's step projection: a sixteenth of the width, rounded up, where it is "auto"."""
    return auto(c, key, -(-c.size("hidden_size") // 16))


def one_kind(c: Config, path: str, layer: Tree, count: str = "num_hidden_layers") -> Tree:
    return stack(path, {"layer": layer}, f"{c.size(count)} layer")


def backbone(c: Config, mixer: Tree, name: str, *, tie: bool) -> Tree:
    """A stack of nothing but a norm and a mixer, as Mamba's layers are."""
    wide = c.flag("residual_in_fp32", True) or None
    layer = {"norm_1": rms("norm", narrow=wide), name: mixer | {"path": "mixer"}, "flow": [f"norm_1 {name} +"]} | tree(wide=wide)
    layers = one_kind(c, "layers.{}", layer)
    return document(c, decoder_parts(c, layers, rms("norm_f"), base="backbone", embed="embeddings", tie=tie, head_fields={"narrow": True}))


def mamba(c: Config) -> Tree:
    """Mamba (Gu & Dao 2023). FalconMamba's norms of dt, B and C have no gains, so that its tensors are the same."""
    mixer = tree(
        kind="mamba",
        inner=c.optional("intermediate_size") or c.size("expand") * c.size("hidden_size"),
        state=c.size("state_size"),
        kernel=c.size("conv_kernel"),
        rank=step_rank(c, "time_step_rank"),
        bias=c.flag("use_bias") or None,
        conv_bias=c.flag("use_conv_bias", True),
        activation=c.text("hidden_act", "silu"),
        plain_norms=c.model_type == "falcon_mamba" or None,
    )
    c.ignore("expand", "use_falcon_mambapy")
    return backbone(c, mixer, "mamba", tie=True)


def mamba2(c: Config) -> Tree:
    """Mamba-2 (Dao & Gu 2024)."""
    heads, head_dim, inner = c.size("num_heads"), c.size("head_dim"), c.size("expand") * c.size("hidden_size")
    if heads * head_dim != inner and not c.root.problems:
        c.fail("num_heads", f"({heads}) times head_dim ({head_dim}) is not expand times hidden_size ({inner})")
    mixer = tree(
        kind="mamba2",
        heads=heads,
        head_dim=head_dim,
        state=c.size("state_size"),
        groups=c.size("n_groups"),
        kernel=c.size("conv_kernel"),
        bias=c.flag("use_bias") or None,
        conv_bias=c.flag("use_conv_bias", True),
        activation=c.text("hidden_act", "silu"),
        chunk=c.optional("chunk_size"),
    )
    return backbone(c, mixer, "mamba2", tie=False)


def rwkv(c: Config) -> Tree:
    """RWKV-4 (Peng et al. 2023). The norm before the first layer is kept inside it by the reference."""
    width = c.size("hidden_size")
    layer = {
        "norm_1": layer_norm("ln1"),
        "time_mix": tree(path="attention", inner=c.optional("attention_hidden_size")),
        "norm_2": layer_norm("ln2"),
        "channel_mix": tree(path="feed_forward", size=c.optional("intermediate_size") or 4 * width),
        "flow": ["norm_1 time_mix +", "norm_2 channel_mix +"],
    }
    first = {"norm_0": layer_norm("pre_ln"), **layer, "flow": ["norm_0", *layer["flow"]]}
    layers = layered("blocks.{}", [["first"] + ["later"] * (depth(c) - 1)], lambda word: first if word == "first" else layer)
    parts = decoder_parts(c, layers, layer_norm("ln_out"), base="rwkv", embed="embeddings", head="head")
    return document(c, parts)


def xlstm(c: Config) -> Tree:
    """xLSTM 7B (Beck et al. 2025): mLSTM layers with gated feed-forward networks. Its head is never tied."""
    width, bias, fused = c.size("hidden_size"), c.flag("use_bias") or None, c.text("weight_mode", "single") == "fused"
    keys, values = int(width * c.number("qk_dim_factor", 0.5)), int(width * c.number("v_dim_factor", 1.0))
    multiple = c.size("ffn_round_up_to_multiple_of")
    size = int((width * c.number("ffn_proj_factor", 2.667) + multiple - 1) // multiple * multiple)
    names = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "output_gate": "ogate_preact", "input_gate": "igate_preact"}
    names |= {"forget_gate": "fgate_preact"}
    if fused:
        names = {"qkvo_proj": "qkv_opreact", "gates_proj": "ifgate_preact"}
    mlstm = tree(path="mlstm_layer", heads=c.size("num_heads"), keys=keys, values=values, fused=fused or None, bias=bias)
    feed = {"gate_proj": "proj_up_gate", "up_proj": "proj_up", "down_proj": "proj_down", "gate_up_proj": "proj_up_gate_z"}
    layer = {
        "norm_1": rms("norm_mlstm", bias=bias),
        "mlstm": mlstm | {"names": {**names, "norm": "multihead_norm"}},
        "norm_2": rms("norm_ffn", bias=bias),
        "feed_forward": tree(path="ffn", size=size, fused=fused or None, bias=bias, names=feed),
        "flow": ["norm_1 mlstm +", "norm_2 feed_forward +"],
    }
    layers = one_kind(c, "blocks.{}", layer, "num_hidden_layers" if c.value("num_blocks") is None else "num_blocks")
    parts = decoder_parts(c, layers, rms("out_norm"), base="backbone", embed="embeddings", tie=None)
    if (table := c.optional("embedding_dim")) and table != width:
        parts["embedding"]["size"] = table
    c.ignore("num_hidden_layers", "tie_word_embeddings")
    return document(c, parts)


def griffin_mixer(c: Config, word: str) -> Tree:
    """Griffin's two temporal blocks: the gated linear recurrence, or attention over a window."""
    heads, width = c.size("num_attention_heads"), c.size("hidden_size")
    if word == "recurrent":
        names = {"y_proj": "linear_y", "x_proj": "linear_x", "out_proj": "linear_out", "conv1d": "conv_1d"}
        names |= {name: f"rg_lru.{name}" for name in ("recurrent_param", *_GATES)}
        inner = c.optional("lru_width") or width
        return tree(kind="rg_lru", path="temporal_block", inner=inner, heads=heads, kernel=c.size("conv1d_width"), names=names)
    return tree(
        kind="attention",
        path="temporal_block",
        heads=heads,
        kv_heads=c.optional("num_key_value_heads"),
        head_dim=c.optional("head_dim") or width // heads,
        bias=c.flag("attention_bias") or ["o"],
        window=window_size(c),
        rotary=True,
        handed_mask=True,
        dropout=rate(c, "attention_dropout"),
    )


_GATES = tuple(f"{gate}_gate_{kind}" for gate in ("input", "recurrent") for kind in ("weight", "bias"))


def recurrent_gemma(c: Config) -> Tree:
    """RecurrentGemma (Botev et al. 2024, on Griffin): two recurrent layers, then one with windowed attention, over and
    over. `intermediate_size` counts both halves of the gated network."""
    pattern = c.listed("block_types") or ["recurrent", "recurrent", "attention"]
    if unknown := [word for word in pattern if word not in ("recurrent", "attention")]:
        c.fail("block_types", f"expected recurrent or attention; got {unknown[0]!r:.60}")
        pattern = ["recurrent"]
    words = [pattern[index % len(pattern)] for index in range(depth(c))]
    activation = c.text("hidden_activation", "gelu_pytorch_tanh")

    def layer(word: str) -> Tree:
        return {
            "norm_1": rms("temporal_pre_norm"),
            word: griffin_mixer(c, word),
            "norm_2": rms("channel_pre_norm"),
            "feed_forward": {
                "path": "mlp_block",
                "size": max(1, c.size("intermediate_size") // 2),
                "bias": True,
                "activation": activation,
            },
            "flow": [f"norm_1 {word} +", "norm_2 feed_forward +"],
        }

    layers = layered("layers.{}", [words], layer)
    parts = decoder_parts(c, layers, rms("final_norm"), tie=True)
    parts["embedding"]["scaled"] = True
    return document(c, parts)


FAMILIES: dict[str, Any] = {
    "mamba": mamba,
    "falcon_mamba": mamba,
    "mamba2": mamba2,
    "rwkv": rwkv,
    "xlstm": xlstm,
    "recurrent_gemma": recurrent_gemma,
}
