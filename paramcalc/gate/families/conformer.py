"""Encoders of speech whose layers put a convolution between attention and a second feed-forward network (Conformer)."""

from __future__ import annotations

from typing import Any, NamedTuple

from paramcalc.gate.config import Config
from paramcalc.gate.families.audio import adapter, dense, masked, position_convolution, speech_head, waveform
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import Tree, document, heads, layer_norm, plain_activation, rate, stack, tied, tree, under
from paramcalc.gate.families.vision import refuse, token

FLOW = ["norm_1 feed_forward_1 +", "norm_2 attention +", "norm_3 gate depthwise norm_4 mix +", "norm_5 feed_forward_2 +", "norm_6"]
"""Two networks, each of which counts half, around attention and a gated depthwise convolution (Gulati et al. 2020)."""
FRAMES = 4
"""Mel frames with their differences, stacked in pairs: what Granite Speech 5 reads at once, fixed in the reference's code."""
RELATIVE = ("relative", "relative_key")
MOST_HALVINGS = 32


class Words(NamedTuple):
    """What the reference calls the pieces of a layer."""

    norms: tuple[str, str, str, str, str]
    networks: tuple[str, str]
    up: str
    down: str
    attention: dict[str, str]
    convolution: str
    inside: str
    """The norm after the depthwise convolution."""
    gate: str = "pointwise_conv1"
    depthwise: str = "depthwise_conv"
    mix: str = "pointwise_conv2"


WAV2VEC2 = Words(
    ("ffn1_layer_norm", "self_attn_layer_norm", "conv_module.layer_norm", "ffn2_layer_norm", "final_layer_norm"), ("ffn1", "ffn2"),
    "intermediate_dense", "output_dense",
    {"q_proj": "linear_q", "k_proj": "linear_k", "v_proj": "linear_v", "o_proj": "linear_out"}, "conv_module", "batch_norm",
)  # fmt: skip
PARAKEET = Words(
    ("norm_feed_forward1", "norm_self_att", "norm_conv", "norm_feed_forward2", "norm_out"), ("feed_forward1", "feed_forward2"),
    "linear1", "linear2", {}, "conv", "norm",
)  # fmt: skip
GRANITE = PARAKEET._replace(gate="pointwise_lin1", mix="pointwise_lin2")


def feed_forward(c: Config, words: Words, path: str, bias: bool = True) -> Tree:
    dropout = "hidden_dropout" if c.value("hidden_dropout") is not None else "dropout"
    return tree(
        kind="feed_forward", path=path, size=c.size("intermediate_size"), gated=False, bias=bias, activation=plain_activation(c),
        dropout=rate(c, dropout), activation_dropout=rate(c, "activation_dropout"), names={"up_proj": words.up, "down_proj": words.down},
    )  # fmt: skip


def attention(c: Config, words: Words, **fields: Any) -> Tree:
    plain = tree(kind="attention", path="self_attn", bias=True, dropout=rate(c, "attention_dropout"), names=words.attention)
    return tree(**(plain | heads(c) | fields))


def layer(
    c: Config, words: Words, attend: Tree, *, bias: bool, conv_bias: bool, pointwise: bool | None = None, inside: str = "batch",
    norm: Any = layer_norm, kernel: str = "conv_kernel_size", expansion: int = 1, dense_gate: bool = False,
) -> Tree:  # fmt: skip
    """A layer; `attend` is its attention and what stands beside that, `pointwise` the bias of the two maps around the
    convolution where that is not `conv_bias`, `inside` the type of norm in there."""
    width = c.size("hidden_size")
    inner, maps, place = width * expansion, conv_bias if pointwise is None else pointwise, f"{words.convolution}."
    pointed: Tree = {"kind": "dense"} if dense_gate else {"kind": "convolution", "kernel": 1}
    pointed |= {"bias": maps, "component": "convolution"}
    last = words.inside if inside == "batch" or words.inside == "norm" else "depthwise_layer_norm"
    depthwise: Tree = {"kind": "convolution", "path": place + words.depthwise, "inputs": inner, "outputs": inner}
    return {
        "norm_1": norm(words.norms[0]),
        "feed_forward_1": feed_forward(c, words, words.networks[0], bias),
        "norm_2": norm(words.norms[1]),
        **attend,
        "norm_3": norm(words.norms[2]),
        "gate": pointed | {"path": place + words.gate, "inputs": width, "outputs": 2 * inner},
        "depthwise": depthwise | {"kernel": c.size(kernel), "groups": inner, "bias": conv_bias},
        "norm_4": {"kind": "norm", "type": inside, "path": place + last, "size": inner},
        "mix": pointed | {"path": place + words.mix, "inputs": inner, "outputs": width},
        "norm_5": norm(words.norms[3]),
        "feed_forward_2": feed_forward(c, words, words.networks[1], bias),
        "norm_6": norm(words.norms[4]),
        "flow": FLOW,
    }


def relative(path: str, width: int, number: int, head_dim: int, words: tuple[str, str, str]) -> Tree:
    """Transformer-XL's relative positions (Dai et al. 2019): a projection of them, and two vectors for each head."""
    about = {"component": "position_embedding"}
    parts = {
        name: token(f"{path}.{word}", number, head_dim) | about for name, word in zip(("offset_1", "offset_2"), words[1:], strict=True)
    }
    return parts | {"relative": dense(f"{path}.{words[0]}", width, number * head_dim, bias=False) | about}


def placed(c: Config) -> Tree:
    """The attention of wav2vec2's conformers with the relative positions that their config asks for."""
    about = heads(c, own_dim=False)
    parts = {"attention": attention(c, WAV2VEC2)}
    kind = c.text("position_embeddings_type")
    number, head_dim = about["heads"], about["head_dim"]
    if kind == "relative":
        return parts | relative("self_attn", number * head_dim, number, head_dim, ("linear_pos", "pos_bias_u", "pos_bias_v"))
    if kind == "relative_key" and c.model_type == "wav2vec2-bert":
        left, right = (c.size(f"{side}_max_position_embeddings") for side in ("left", "right"))
        table = {"kind": "embedding", "vocabulary": left + right + 1, "size": head_dim, "path": "self_attn.distance_embedding"}
        return parts | {"relative": table | {"component": "position_embedding"}}
    return parts


def wav2vec2_layers(c: Config, inside: str) -> Tree:
    built = layer(c, WAV2VEC2, placed(c), bias=True, conv_bias=False, inside=inside, kernel="conv_depthwise_kernel_size")
    return stack("encoder.layers.{}", {"layer": built}, f"{c.size('num_hidden_layers')} layer")


def wav2vec2_conformer(c: Config) -> Tree:
    """wav2vec 2.0 with conformer layers (Wang et al. 2020, fairseq S2T): raw samples, positions by convolution."""
    features = (c.sizes("conv_dim", least=1) or [1])[-1]
    task = c.task("base")
    parts = masked(c) | {"feature_extractor": waveform(c)}
    parts["feature_norm"] = layer_norm("feature_projection.layer_norm", size=features)
    parts["feature_projection"] = dense("feature_projection.projection", features, c.size("hidden_size"))
    parts |= position_convolution(c) | {"layers": wav2vec2_layers(c, "batch"), "norm": layer_norm("encoder.layer_norm")}
    if c.flag("add_adapter"):
        parts["adapter"] = adapter(c)
    parts = parts if task == "base" else under("wav2vec2_conformer.", parts)
    return document(c, parts | speech_head(c, task), cache=False)


def wav2vec2_bert(c: Config) -> Tree:
    """W2v-BERT 2.0 (Barrault et al. 2023): conformer layers over frames of a spectrogram, causal convolutions."""
    inputs, width, task = c.size("feature_projection_input_dim"), c.size("hidden_size"), c.task("base")
    parts: Tree = {"feature_norm": layer_norm("feature_projection.layer_norm", size=inputs)}
    parts["feature_projection"] = dense("feature_projection.projection", inputs, width)
    parts |= masked(c) | {"layers": wav2vec2_layers(c, "layer")}
    if c.flag("use_intermediate_ffn_before_adapter"):
        parts["feed_forward"] = feed_forward(c, WAV2VEC2, "intermediate_ffn") | {"activation": "relu"}
    if c.flag("add_adapter"):
        parts["adapter"] = strided(c)
    parts = parts if task == "base" else under("wav2vec2_bert.", parts)
    return document(c, parts | speech_head(c, task), cache=False)


def strided(c: Config) -> Tree:
    """Layers that shorten the sequence: a gated strided convolution of the stream, and one before attention."""
    width = c.size("hidden_size")
    outputs = c.optional("output_hidden_size") or width
    parts: Tree = {"path": "adapter", "width": outputs}
    if outputs != width:
        parts |= {"project": dense("proj", width, outputs), "norm": layer_norm("proj_layer_norm")}
    about = {"kind": "convolution", "outputs": 2 * outputs, "kernel": c.size("adapter_kernel_size"), "stride": c.size("adapter_stride")}
    number = c.size("num_attention_heads")
    one = {
        "norm_1": layer_norm("residual_layer_norm"),
        "convolution_1": about | {"path": "residual_conv"},
        "norm_2": layer_norm("self_attn_layer_norm"),
        "convolution_2": about | {"path": "self_attn_conv"},
        "attention": attention(c, WAV2VEC2, heads=number, head_dim=max(1, outputs // number)),
        "norm_3": layer_norm("ffn_layer_norm"),
        "feed_forward": feed_forward(c, WAV2VEC2, "ffn") | {"activation": c.text("adapter_act", "relu")},
        "flow": ["(norm_1 convolution_1 | norm_2 convolution_2 attention)", "norm_3 feed_forward +"],
    }
    return parts | {"layers": stack("layers.{}", {"layer": one}, f"{c.size('num_adapter_layers')} layer")}


def parakeet(c: Config) -> Tree:
    """Fast Conformer (Rekesh et al. 2023), as Parakeet's encoder: depthwise convolutions that shorten the spectrogram first."""
    width, channels, stride = c.size("hidden_size"), c.size("subsampling_conv_channels"), c.size("subsampling_conv_stride")
    factor = c.size("subsampling_factor")
    steps = max(1, factor.bit_length() - 1)
    if steps > MOST_HALVINGS:
        c.fail("subsampling_factor", f"more than 2^{MOST_HALVINGS}")
    bands = c.size("num_mel_bins") // stride ** min(steps, MOST_HALVINGS)
    step = {"kind": "convolution", "path": "subsampling.layers.{}", "outputs": channels, "component": "embedding"}
    strides = {"kernel": [c.size("subsampling_conv_kernel_size")] * 2, "stride": [stride, stride]}
    parts: Tree = {"convolution_1": step | {"inputs": 1} | strides}
    for index in range(2, min(steps, MOST_HALVINGS) + 1):
        parts[f"convolution_{index}"] = step | {"inputs": channels, "groups": channels} | strides
        parts[f"mix_{index}"] = step | {"inputs": channels, "kernel": [1, 1]}
    parts["input"] = dense("subsampling.linear", channels * bands, width)
    return document(c, parts | {"layers": fast_layers(c, layer_norm, placed_by=parakeet_attention)}, cache=False)


def parakeet_attention(c: Config, bias: bool) -> Tree:
    about = heads(c)
    parts = {"attention": attention(c, PARAKEET, bias=bias)}
    words = ("relative_k_proj", "bias_u", "bias_v")
    return parts | relative("self_attn", c.size("hidden_size"), about["heads"], about["head_dim"], words)


def fast_layers(c: Config, norm: Any, placed_by: Any) -> Tree:
    bias = c.flag("attention_bias")
    built = layer(c, PARAKEET, placed_by(c, bias), bias=bias, conv_bias=c.flag("convolution_bias"), norm=norm)
    return stack("layers.{}", {"layer": built}, f"{c.size('num_hidden_layers')} layer")


def bare_norm(path: str, **fields: Any) -> Tree:
    return layer_norm(path, bias=False, **fields)


def lasr(c: Config) -> Tree:
    """LASR's encoder (Google 2025): two strided convolutions, conformer layers with rotary positions, norms without bias."""
    width, channels = c.size("hidden_size"), c.size("subsampling_conv_channels")
    kernel, stride = c.size("subsampling_conv_kernel_size"), c.size("subsampling_conv_stride")
    step = {"kind": "convolution", "inputs": width, "kernel": kernel, "stride": stride, "component": "embedding"}
    parts: Tree = {
        "input": dense("subsampler.dense_0", c.size("num_mel_bins"), width),
        "convolution_1": step | {"path": "subsampler.conv_0", "outputs": width},
        "convolution_2": step | {"path": "subsampler.conv_1", "outputs": channels},
        "project": dense("subsampler.dense_1", channels, width),
    }
    layers = fast_layers(c, bare_norm, lambda c, bias: {"attention": attention(c, PARAKEET, bias=bias, rotary=True)})
    return document(c, parts | {"layers": layers, "norm": bare_norm("out_norm")}, cache=False)


def granite_encoder(c: Config) -> Tree:
    """Granite Speech 5's encoder (IBM 2026): attention in blocks with a table of distances; predictions made half way
    up are read back into the stream (self-conditioned CTC, Nozaki & Komatsu 2021)."""
    width, vocabulary = c.size("hidden_size"), c.size("vocab_size")
    about = heads(c)
    attend = attention(c, GRANITE, kv_heads=about["heads"], bias=["o"], chunk=c.size("context_size"))
    rows = 2 * c.size("max_position_embeddings") + 1
    table = {"kind": "embedding", "vocabulary": rows, "size": about["head_dim"], "path": "self_attn.rel_pos_emb"}
    built = layer(
        c, GRANITE, {"attention": attend, "relative": table | {"component": "position_embedding"}}, bias=c.flag("attention_bias"),
        conv_bias=False, pointwise=True, expansion=c.size("conv_expansion_factor"), dense_gate=True,
    )  # fmt: skip
    parts: Tree = {
        "input": dense("input_linear", FRAMES * c.size("num_mel_bins"), width),
        "layers": stack("layers.{}", {"layer": built}, f"{c.size('num_hidden_layers')} layer"),
        "predict": dense("out", width, vocabulary, component="head"),
        "condition": dense("out_mid", vocabulary, width),
    }
    return document(c, parts, cache=False)


def ctc(c: Config) -> Tree:
    """An encoder of frames and a convolution of width 1 to the words (CTC, Graves et al. 2006)."""
    if c.task("ctc") != "ctc":
        refuse(c)
    parts = nested(c.part("encoder_config"), "encoder", "encoder")
    width, vocabulary = c.part("encoder_config").size("hidden_size"), c.size("vocab_size")
    head: Tree = {"kind": "convolution", "path": "ctc_head", "inputs": width, "outputs": vocabulary, "kernel": 1, "component": "head"}
    if c.model_type == "granite_speech5_ctc":
        owner = tied(c, "encoder.predict")  # and its bias, which then is no tensor of its own
        head = tree(kind="head", path="ctc_head", inputs=width, outputs=vocabulary, bias=not owner, tied=owner)
    return document(c, parts | {"head": head}, width=width, cache=False)


def transducer(c: Config) -> Tree:
    """An encoder of frames and a network of the words so far, whose sum a dense layer tells the next word from (RNN-T, Graves
    2012), and by how many frames to go on (TDT, Xu et al. 2023)."""
    if not c.architecture().endswith(("ForRNNT", "ForTDT")) and c.architecture():
        refuse(c)
    part, width, vocabulary = c.part("encoder_config"), c.size("decoder_hidden_size"), c.size("vocab_size")
    steps = len(c.listed("durations") or []) if c.model_type == "parakeet_tdt" else 0
    parts = nested(part, "encoder", "encoder")
    parts["encoder_projector"] = dense("encoder_projector", part.size("hidden_size"), width)
    parts["decoder"] = {
        "path": "decoder",
        "width": width,
        "embedding": {"vocabulary": vocabulary, "path": "embedding"},
        "lstm": {"kind": "recurrent", "path": "lstm", "layers": c.size("num_decoder_layers")},
        "projector": dense("decoder_projector", width, width),
    }
    parts["head"] = dense("joint.head", width, vocabulary + steps) | {"component": "head"}
    return document(c, parts, width=width, cache=False)


FAMILIES = {
    "granite_speech5_ctc": ctc,
    "granite_speech5_encoder": granite_encoder,
    "lasr_ctc": ctc,
    "lasr_encoder": lasr,
    "parakeet_ctc": ctc,
    "parakeet_encoder": parakeet,
    "parakeet_rnnt": transducer,
    "parakeet_tdt": transducer,
    "wav2vec2-bert": wav2vec2_bert,
    "wav2vec2-conformer": wav2vec2_conformer,
}
