"""Pyramids whose attention sees a coarser grid (PVT, SegFormer), or that mix their pixels without one (PoolFormer, SwiftFormer)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.maps import batch_norm, classified, convolution, depthwise
from paramcalc.gate.families.pyramid import function, stages
from paramcalc.gate.families.recipes import PRE_NORM, Tree, document, labels, layer_norm, plain_activation, rate, stack, tree, under
from paramcalc.gate.families.vision import Words, attention, classifier, deepening, feed_forward, image, mean, pair, token

SEGFORMER = Words("layernorm_before", "attention", "layernorm_after", "mlp")
PVT = Words(
    "layer_norm_1", "attention", "layer_norm_2", "mlp", "self.query", "self.key", "self.value", "output.dense", "dense1", "dense2"
)  # fmt: skip
PVT_2 = PVT._replace(q="query", k="key", v="value", o="proj")


def built(c: Config, *keys: str) -> list[tuple[int, ...]]:
    """One tuple for each of the stages that are built, which may be fewer than the lists name."""
    count, named = c.size("num_encoder_blocks"), stages(c, *keys)
    if named and count > len(named):
        c.fail("num_encoder_blocks", f"({count}) is more than the {len(named)} stages that are named")
    return named[:count]


def reducing_layer(
    c: Config, words: Words, width: int, heads: int, ratio: int, size: int, *, reduced: tuple[str, str], mixes: bool
) -> Tree:
    """A pre-norm layer whose keys and values are made from `ratio` × `ratio` pixels (Wang et al. 2021); `mixes`: with a
    depthwise convolution inside its network."""
    bias = True if c.flag("qkv_bias", True) else ["o"]
    attend = attention(c, words, heads=max(1, heads), head_dim=max(1, width // max(1, heads)), bias=bias)
    layer = {"norm_1": layer_norm(words.norm_1), "attention": attend}
    pooled = c.flag("linear_attention")  # PVT v2's other variant pools to a fixed grid first
    if ratio > 1 or pooled:
        side = 1 if pooled else ratio
        layer["reduction"] = convolution(reduced[0], width, width, side, stride=side, component="attention")
        layer["reduction_norm"] = layer_norm(reduced[1])
    layer |= {"norm_2": layer_norm(words.norm_2), "feed_forward": feed_forward(c, words, size=size)}
    if mixes:
        layer["mixing"] = depthwise(f"{words.feed_forward}.dwconv.dwconv", size, 3, component="feed_forward")
    return layer | {"flow": PRE_NORM}


def mixing_layer(c: Config, width: int, heads: int, ratio: int, size: int) -> Tree:
    """SegFormer's layer (Xie et al. 2021): keys and values of a coarser map, and a depthwise convolution inside its network."""
    paths = {"reduction": "sequence_reduction.sequence_reduction", "reduction_norm": "sequence_reduction.layer_norm"}
    heads, more = max(1, heads), {"ratio": ratio, "names": paths} if ratio > 1 else {}
    drop = {"kind": "dropout", "rate": rate(c, "hidden_dropout_prob")} if rate(c, "hidden_dropout_prob") else {}
    layer: Tree = {
        "norm_1": layer_norm(SEGFORMER.norm_1),
        "attention": attention(c, SEGFORMER, kind="reduced_attention", heads=heads, head_dim=max(1, width // heads), **more),
        "norm_2": layer_norm(SEGFORMER.norm_2),
        "up": dense("mlp.fc1", width, size) | {"component": "feed_forward"},
        "mixing": depthwise("mlp.dwconv.dwconv", size, 3, padding=1, component="feed_forward"),
        "activation": function(plain_activation(c)),
        "down": dense("mlp.fc2", size, width) | {"component": "feed_forward"},
    } | ({"dropout": drop} if drop else {})
    dropped = " dropout" if drop else ""
    return layer | {"flow": ["norm_1 attention +", f"norm_2 up mixing activation{dropped} down{dropped} +"]}


def segformer(c: Config) -> Tree:
    """SegFormer (Xie et al. 2021): stages of overlapping patches, layers and a norm; a head over all of them, or a classifier."""
    shape = built(c, "hidden_sizes", "depths", "num_attention_heads", "sr_ratios", "mlp_ratios", "patch_sizes", "strides")
    every = c.sizes("hidden_sizes", least=1) or [1]
    segments = c.architecture().endswith("ForSemanticSegmentation")
    parts: Tree = {}
    read, above, drops = c.size("num_channels"), 0, c.number("drop_path_rate")
    for index, (width, number, heads, ratio, grows, side, stride) in enumerate(shape, 1):
        group: Tree = {
            "path": "stages.{}",
            "width": width,
            "patches": convolution("patch_embeddings.proj", read, width, side, stride=stride, padding=side // 2),
            "patches_norm": layer_norm("patch_embeddings.layer_norm"),
        }
        if number:
            layer = mixing_layer(c, width, heads, ratio, max(1, width * grows))
            group["layers"] = deepening("blocks.{}", layer, number, drops, above=above)
        group["norm"] = layer_norm("layer_norm")
        parts[f"stage_{index}"] = group | ({"aside": {"called": f"stage_{index}"}} if segments else {})
        read, above = width, above + number
    if segments:
        parts = under("segformer.", parts) | decode_head(c, [row[0] for row in shape])
        return document(c, parts, width=every[-1], cache=False, image=image(c))
    return classified(c, parts, "segformer", every[-1], top={"pool": mean()}, image=image(c))


def overlapping(c: Config, *, words: Words, stage: str, patch: str, reduced: tuple[str, str], base: str) -> Tree:
    """Stages of overlapping patches, layers and a norm: PVT v2 (Wang et al. 2022)."""
    shape = built(c, "hidden_sizes", "depths", "num_attention_heads", "sr_ratios", "mlp_ratios", "patch_sizes", "strides")
    every = c.sizes("hidden_sizes", least=1) or [1]
    parts: Tree = {}
    read = c.size("num_channels")
    for index, (width, number, heads, ratio, grows, side, stride) in enumerate(shape, 1):
        group = {
            "path": f"{stage}.{{}}",
            "width": width,
            "patches": convolution(f"{patch}.proj", read, width, side, stride=stride),
            "patches_norm": layer_norm(f"{patch}.layer_norm"),
        }
        if number:
            layer = reducing_layer(c, words, width, heads, ratio, max(1, width * grows), reduced=reduced, mixes=True)
            group["layers"] = stack("blocks.{}", {"layer": layer}, f"{number} layer")
        parts[f"stage_{index}"] = group | {"norm": layer_norm("layer_norm")}
        read = width
    return classified(c, parts, base, every[-1])


def decode_head(c: Config, widths: list[int]) -> Tree:
    """SegFormer's head: every stage into one width, fused, and a class for each pixel."""
    inner, dropout = c.size("decoder_hidden_size"), rate(c, "classifier_dropout_prob")
    maps = {f"stage_{index}": width for index, width in enumerate(widths, 1)}
    return {
        "decoder": {
            "path": "decode_head",
            "width": inner,
            "fusion": {"kind": "map_fusion", "path": "", "maps": maps, "names": dict.fromkeys(maps, "linear_projections.{}.proj")},
            "fuse": convolution("linear_fuse", inner * max(1, len(widths)), inner, bias=False),
            "norm": batch_norm("batch_norm", inner),
            "activation": function("relu"),
            **({"dropout": {"rate": dropout}} if dropout else {}),
            "classes": convolution("classifier", inner, labels(c), component="head"),
            "head": {"kind": "resize"},
        }
    }


def pvt(c: Config) -> Tree:
    """PVT (Wang et al. 2021): patches apart from the layers, a table of positions and, in the last stage, a class token."""
    shape = built(c, "hidden_sizes", "depths", "num_attention_heads", "sequence_reduction_ratios", "mlp_ratios", "patch_sizes", "strides")
    every = c.sizes("hidden_sizes", least=1) or [1]
    image, read = pair(c, "image_size"), c.size("num_channels")
    parts: Tree = {}
    layers: Tree = {}
    reduced = ("attention.self.sequence_reduction", "attention.self.layer_norm")
    for index, (width, number, heads, ratio, grows, side, stride) in enumerate(shape):
        last = index + 1 == len(shape)
        sides = image if not index else (image[0] >> (index + 1), image[0] >> (index + 1))
        rows = (sides[0] // max(1, side)) * (sides[1] // max(1, side)) + last
        # the reference gives the kernel the stride's size, and the stride the patch's
        group: Tree = {"path": "encoder.patch_embeddings.{}", "width": width, "tokens": max(1, rows)}
        group |= {"position": {"rows": rows, "bare": True, "path": "position_embeddings"}} if rows else {}
        group |= {"cls_token": token("cls_token", 1, 1, width)} if last else {}
        group |= {"patches": convolution("projection", read, width, stride, stride=side), "patches_norm": layer_norm("layer_norm")}
        parts[f"patches_{index + 1}"] = group
        if number:
            layer = reducing_layer(c, PVT, width, heads, ratio, max(1, width * grows), reduced=reduced, mixes=False)
            fields = {"width": width, "tokens": max(1, rows)}
            layers[f"stage_{index + 1}"] = stack("encoder.block.{}.{}", {"layer": layer}, f"{number} layer", **fields)
        read = width
    return classified(c, parts | layers | {"norm": layer_norm("encoder.layer_norm", size=every[-1])}, "pvt", every[-1])


def poolformer(c: Config) -> Tree:
    """PoolFormer (Yu et al. 2022): pooling in attention's place, group norms, scaled branches."""
    shape = built(c, "hidden_sizes", "depths", "patch_sizes", "strides")
    every, read, ratio = c.sizes("hidden_sizes", least=1) or [1], c.size("num_channels"), c.number("mlp_ratio", 4.0)
    parts: Tree = {}
    layers: Tree = {}
    group_norm = {"kind": "norm", "type": "group"}
    for index, (width, number, side, stride) in enumerate(shape, 1):
        patches = convolution("projection", read, width, side, stride=stride)
        parts[f"patches_{index}"] = {"path": "encoder.patch_embeddings.{}", "width": width, "patches": patches}
        size = max(1, int(width * ratio))
        layer: Tree = {
            "norm_1": group_norm | {"path": "before_norm"},
            "norm_2": group_norm | {"path": "after_norm"},
            "up": convolution("output.conv1", width, size, component="feed_forward", activation=plain_activation(c)),
            "down": convolution("output.conv2", size, width, component="feed_forward"),
        }
        scaled = c.flag("use_layer_scale", True)
        if scaled:
            layer |= {"scale_1": token("layer_scale_1", width), "scale_2": token("layer_scale_2", width)}
        first, second = (" scale_1", " scale_2") if scaled else ("", "")
        if number:
            flow = [f"norm_1{first} +", f"norm_2 up down{second} +"]
            layers[f"stage_{index}"] = stack("encoder.block.{}.{}", {"layer": layer | {"flow": flow}}, f"{number} layer", width=width)
        read = width
    return classified(c, parts | layers, "poolformer", every[-1], top={"norm": group_norm | {"path": "norm", "size": every[-1]}})


def swift_convolutions(path: str, width: int, size: int, scale: Tree) -> Tree:
    """A depthwise convolution, a norm, two dense layers over pixels, a scale."""
    prefix = f"{path}." if path else ""
    return {
        "local": depthwise(f"{prefix}depth_wise_conv", width, 3),
        "local_norm": batch_norm(f"{prefix}norm", width),
        "local_up": convolution(f"{prefix}point_wise_conv1", width, size, activation="gelu"),
        "local_down": convolution(f"{prefix}point_wise_conv2", size, width),
        "local_scale": scale | {"path": f"{prefix}layer_scale"},
    }


def swift_attention(width: int) -> Tree:
    """Additive attention (Shaker et al. 2023): one weight for each query, no keys against queries."""
    parts = {name: dense(f"attn.{path}", width, width) for name, path in (("query", "to_query"), ("key", "to_key"))}
    parts |= {"weight": token("attn.w_g", width, 1), "mixed": dense("attn.proj", width, width), "output": dense("attn.final", width, width)}
    return {name: part | {"component": "attention"} for name, part in parts.items()}


def swiftformer(c: Config) -> Tree:
    """SwiftFormer (Shaker et al. 2023): stages of convolutions, each with one block of additive attention at its end."""
    shape, ratio, side = stages(c, "embed_dims", "depths"), c.number("mlp_ratio", 4.0), list(pair(c, "down_patch_size"))
    falls = c.listed("downsamples") or []
    first = shape[0][0] if shape else 1
    half = max(1, first // 2)
    parts: Tree = {
        "stem_1": convolution("patch_embed.patch_embedding.{}", c.size("num_channels"), half, 3, stride=2),
        "stem_norm_1": batch_norm("patch_embed.patch_embedding.{}", half),
        "stem_2": convolution("patch_embed.patch_embedding.{}", half, first, 3, stride=2),
        "stem_norm_2": batch_norm("patch_embed.patch_embedding.{}", first),
    }
    for index, (width, number) in enumerate(shape):
        size, scale = max(1, int(ratio * width)), token("", width, 1, 1)
        convolved = swift_convolutions("", width, size, scale) | {"flow": ["local local_norm local_up local_down local_scale +"]}
        scales = {f"scale_{turn}": scale | {"path": f"layer_scale_{turn}"} for turn in (1, 2)} if c.flag("use_layer_scale", True) else {}
        one, two = (" scale_1", " scale_2") if scales else ("", "")
        attended = swift_convolutions("local_representation", width, width, scale) | swift_attention(width)
        attended |= {
            "norm": batch_norm("linear.norm1", width),
            "up": convolution("linear.fc1", width, size, component="feed_forward", activation=plain_activation(c)),
            "down": convolution("linear.fc2", size, width, component="feed_forward"),
            **scales,
            "flow": [
                "local local_norm local_up local_down local_scale +",
                f"query mixed output{one} +",
                f"norm up down{two} +",
            ],
        }
        if number:
            order = f"{number - 1} convolutions, attention" if number > 1 else "attention"
            kinds = {"convolutions": convolved, "attention": attended}
            parts[f"stage_{index + 1}"] = stack("encoder.network.{}.blocks.{}", kinds, order, width=width)
        if index + 1 < len(shape) and ((index < len(falls) and falls[index] is True) or shape[index + 1][0] != width):
            after = shape[index + 1][0]
            down = {"step": convolution("proj", width, after, side), "norm": batch_norm("norm", after)}
            parts[f"down_{index + 1}"] = {"path": "encoder.network.{}", "width": width} | down
    last = shape[-1][0] if shape else 1
    top = {"norm": batch_norm("norm", last)} | tree(teacher_head=classifier(c, "dist_head", last))
    return classified(c, parts, "swiftformer", last, top=top, path="head")


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "poolformer": poolformer,
    "pvt": pvt,
    "pvt_v2": partial(
        overlapping,
        words=PVT_2,
        stage="encoder.layers",
        patch="patch_embedding",
        reduced=("attention.spatial_reduction", "attention.layer_norm"),
        base="pvt_v2",
    ),
    "segformer": segformer,
    "swiftformer": swiftformer,
}
