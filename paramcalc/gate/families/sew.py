"""SEW and SEW-D: speech encoders whose transformer runs at a coarser step than the features it is given."""

from __future__ import annotations

from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.audio import dense, layers, masked, position_convolution, speech_head, waveform
from paramcalc.gate.families.bert import Style
from paramcalc.gate.families.deberta import SECOND, own_layer, positions
from paramcalc.gate.families.recipes import Tree, document, layer_norm, stack, tree, under


def sew(c: Config, *, base: str = "sew", content: bool = False) -> Tree:
    """SEW (Wu et al. 2021): the stream is pooled before the layers and widened again behind them by `squeeze_factor`.

    `content`: SEW-D's layers, which are DeBERTa's, with a table of relative positions.
    """
    sizes = c.sizes("conv_dim", least=1) or [1]
    width, task = c.size("hidden_size"), c.task("base")
    parts: Tree = masked(c) | {"feature_extractor": waveform(c), "feature_norm": layer_norm("layer_norm", size=sizes[-1])}
    if sizes[-1] != width:
        parts["feature_projection"] = dense("feature_projection", sizes[-1], width)
    parts |= position_convolution(c)
    if content:
        parts |= under("encoder.", positions(c, second=True)) | {"layers": content_layers(c)}
    else:
        parts |= {"embedding_norm": layer_norm("encoder.layer_norm"), "layers": layers(c, gated_positions=False)}
    outputs = width * c.size("squeeze_factor")
    parts["widen"] = dense("encoder.upsample.projection", width, outputs)
    parts = parts if task == "base" else under(f"{base}.", parts)
    return document(c, parts | speech_head(c, task), cache=False)


def content_layers(c: Config) -> Tree:
    style = Style(base="", pooled=(), cross=False, position="none", names=SECOND)
    return stack("encoder.encoder.layer.{}", {"layer": tree(**own_layer(c, style, second=True))}, f"{c.size('num_hidden_layers')} layer")


FAMILIES = {"sew": sew, "sew-d": partial(sew, base="sew_d", content=True)}
