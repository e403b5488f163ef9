"""Encoders built on BERT's recipe that read more than words: boxes on a page, markup, characters, regions of an image; and
those with other heads, DPR and Splinter."""

from __future__ import annotations

from collections.abc import Callable

from paramcalc.gate.config import Config
from paramcalc.gate.families.bert import POOLED, Style, assembled, classifier, embeddings, encoder, feed_forward, layer, lm_head, pooler
from paramcalc.gate.families.composite import dense
from paramcalc.gate.families.gpt import dense_head
from paramcalc.gate.families.maps import convolution
from paramcalc.gate.families.recipes import Tree, document, dropped, labels, layer_norm, stack, tree, under
from paramcalc.gate.families.vision import refuse, token

HEADED = (*POOLED, "token_classification", "question_answering", "masked_lm")
MOST_DEPTH = 10_000  # of a path through markup, which has two tables for each step


def table(path: str, rows: int, size: int | None = None) -> Tree:
    return tree(kind="embedding", vocabulary=rows, size=size, path=path, component="position_embedding")


def unheaded(c: Config, *known: str) -> str:
    """The task, the base model where the config names no class; those that make words of states are refused unless known."""
    task = c.task("base")
    if task in ("masked_lm", "causal_lm", "next_sentence", "pretraining", "generation") and task not in known:
        refuse(c)
        task = "base"
    c.serves = task
    return task


def spans(c: Config, style: Style, task: str) -> Tree:
    """Splinter's head (Ram et al. 2021): a start and an end are found by the question token's own two vectors."""
    if task not in ("pretraining", "question_answering"):
        return classifier(c, style, task)
    head: Tree = {}
    for name in ("query_start_transform", "query_end_transform", "start_transform", "end_transform"):
        head[name] = {"kind": "dense", "path": f"{name}.dense", "component": "head"}
        head[f"{name}_norm"] = layer_norm(f"{name}.LayerNorm")
    for name in ("start_classifier", "end_classifier"):
        head[name] = {"kind": "dense", "path": name, "bias": False, "component": "head"}
    return {"spans": {"path": "splinter_qass", **head}}


def splinter(c: Config) -> Tree:
    style = Style(base="splinter", pooled=(), cross=False)
    parts = encoder(c, style, layer(c, style))
    if unheaded(c, "pretraining") == "pretraining":
        return document(c, under("splinter.", parts) | spans(c, style, "pretraining"))
    return assembled(c, style, parts, other=spans)


def dpr(c: Config) -> Tree:
    """DPR (Karpukhin et al. 2020): BERT without a pooler for questions, another for passages, or a reader of both."""
    name, style = c.architecture(), Style()
    kinds = {"DPRQuestionEncoder": "question_encoder", "DPRContextEncoder": "ctx_encoder", "DPRReader": "span_predictor.encoder"}
    if name not in kinds and name:
        refuse(c)
    base = kinds.get(name, "question_encoder")
    parts = under(f"{base}.bert_model.", encoder(c, style, layer(c, style)))
    width = c.size("hidden_size")
    made = c.zero_or("projection_dim")
    if made:
        parts["projection"] = dense(f"{base}.encode_proj", width, made)
    if name == "DPRReader":
        for part, outputs in (("head", 2), ("relevance", 1)):
            path = "span_predictor.qa_outputs" if part == "head" else "span_predictor.qa_classifier"
            parts[part] = dense(path, made or width, outputs) | {"component": "head"}
    return document(c, parts, cache=None if c.flag("is_decoder") else False)


def visual_bert(c: Config) -> Tree:
    """VisualBERT (Li et al. 2019): regions of an image, made elsewhere, among the words."""
    unheaded(c, "pretraining")
    style = Style(base="visual_bert", pooled=HEADED, cross=False)
    seen: Tree = {
        "visual_types": table("embeddings.visual_token_type_embeddings", c.size("type_vocab_size")) | {"component": "embedding"},
        "visual_position": table("embeddings.visual_position_embeddings", c.size("max_position_embeddings")),
        "visual_project": dense("embeddings.visual_projection", c.size("visual_embedding_dim"), c.size("hidden_size")),
    }
    parts = encoder(c, style, layer(c, style), seen)
    if c.flag("bypass_transformer"):
        parts["visual_layer"] = {"path": "additional_layer", **layer(c, style)}

    def other(c: Config, _: Style, task: str) -> Tree:
        if task in ("question_answering", "multiple_choice"):
            return dense_head("cls", 1 if task == "multiple_choice" else labels(c))
        refuse(c)
        return {}

    return assembled(c, style, parts, other=other)


def bros(c: Config) -> Tree:
    """BROS (Hong et al. 2022): a vector for where each pair of words stands, made of sinusoids."""
    unheaded(c)
    style, width = Style(base="bros", pooled=HEADED), c.size("hidden_size")
    inputs = c.optional("dim_bbox_sinusoid_emb_2d") or max(1, width // 4)
    outputs = c.optional("dim_bbox_projection") or max(1, width // c.size("num_attention_heads"))
    parts = encoder(c, style, layer(c, style))
    parts["boxes"] = dense("bbox_embeddings.bbox_projection", inputs, outputs, False) | {"component": "position_embedding"}

    def other(c: Config, style: Style, task: str) -> Tree:
        if "Spade" not in c.architecture():
            return classifier(c, style, task)
        links = c.size("n_relations") * width
        path = "entity_linker" if "SpadeEL" in c.architecture() else "subsequent_token_classifier"
        linker = {"query": dense("query", width, links), "key": dense("key", width, links), "dummy": token("dummy_node", 1, width)}
        first = "initial_token_classifier.{}"
        steps = {} if path == "entity_linker" else {"head_dense": dense(first, width, width), "head": dense(first, width, labels(c))}
        return steps | {"linker": {"path": path, **linker}}

    return assembled(c, style, parts, other=other)


def layoutlmv3(c: Config) -> Tree:
    """LayoutLMv3 (Huang et al. 2022): words, boxes and patches in one stream, biases by distance along the text and the page."""
    unheaded(c)
    style, width = Style(base="layoutlmv3", pooled=(), cross=False), c.size("hidden_size")
    rows, place, shape = c.size("max_2d_position_embeddings"), c.size("coordinate_size"), c.size("shape_size")
    sizes = (("x", place), ("y", place), ("h", shape), ("w", shape))
    boxes = {f"box_{axis}": table(f"embeddings.{axis}_position_embeddings", rows, size) for axis, size in sizes}
    parts = encoder(c, style, layer(c, style), boxes)
    if not c.flag("text_embed", True):
        parts = {"layers": parts["layers"]}
    layers = {"layers": parts.pop("layers")}
    if c.flag("visual_embed", True):
        side, inputs = c.size("patch_size"), c.size("num_channels")
        parts["patches"] = convolution("patch_embed.proj", inputs, width, side, stride=side, component="embedding")
        parts["cls_token"] = token("cls_token", 1, 1, width)
        parts["patch_position"] = {"kind": "position", "rows": (c.size("input_size") // side) ** 2 + 1, "bare": True, "path": "pos_embed"}
        parts["stream_norm"] = layer_norm("LayerNorm")
        parts["patch_norm"] = layer_norm("norm")
    number = c.size("num_attention_heads")
    biases = {"rel_pos_bias": "rel_pos_bins"} if c.flag("has_relative_attention_bias", True) else {}
    if c.flag("has_spatial_attention_bias", True):
        biases |= {"rel_pos_x_bias": "rel_2d_pos_bins", "rel_pos_y_bias": "rel_2d_pos_bins"}
    for name, bins in biases.items():
        parts[name] = dense(f"encoder.{name}", c.size(bins), number, False) | {"component": "position_embedding"}

    def other(c: Config, style: Style, task: str) -> Tree:
        path = {"question_answering": "qa_outputs", "sequence_classification": "classifier", "token_classification": "classifier"}.get(task)
        if path is None or (task == "token_classification" and labels(c) < 10):
            return classifier(c, style, task)
        return {"head_dense": {"kind": "dense", "path": f"{path}.dense", "component": "head"}} | dense_head(f"{path}.out_proj", labels(c))

    return assembled(c, style, parts | layers, other=other)


def markuplm(c: Config) -> Tree:
    """MarkupLM (Li et al. 2022): a vector for each word's path through the markup, from two tables for each step of it."""
    unheaded(c)
    style, width = Style(base="markuplm", pooled=("base", "sequence_classification")), c.size("hidden_size")
    size, depth = c.size("xpath_unit_hidden_size"), min(c.size("max_depth"), MOST_DEPTH)
    paths: Tree = {
        "path_linear": dense("xpath_unitseq2_embeddings", size * depth, width),
        "path_up": dense("xpath_unitseq2_inner", size * depth, 4 * width),
        "path_down": dense("inner2emb", 4 * width, width),
        "tags": table("xpath_tag_sub_embeddings.{}", c.size("max_xpath_tag_unit_embeddings"), size) | {"stored": depth},
        "places": table("xpath_subs_sub_embeddings.{}", c.size("max_xpath_subs_unit_embeddings"), size) | {"stored": depth},
    }
    return assembled(c, style, encoder(c, style, layer(c, style), under("embeddings.xpath_embeddings.", paths)))


def lilt(c: Config) -> Tree:
    """LiLT (Wang et al. 2022): beside the stream of words a narrower one of boxes, each layer looking at both."""
    unheaded(c)
    style = Style(base="lilt", pooled=("base",), classifier="dense", cross=False)
    width, shrink, rows = c.size("hidden_size"), c.size("channel_shrink_ratio"), c.size("max_2d_position_embeddings")
    narrow = max(1, width // shrink)
    boxes: Tree = {f"box_{axis}": table(f"{axis}_position_embeddings", rows, max(1, width // 6)) for axis in "xyhw"}
    boxes |= {
        "box_position": table("box_position_embeddings", c.size("max_position_embeddings"), narrow),
        "box_linear": dense("box_linear_embeddings", width, narrow),
        "box_norm": layer_norm("LayerNorm", size=narrow),
    }
    one = layer(c, style)
    second: Tree = {name: dense(f"attention.self.layout_{name}", narrow, narrow) for name in ("query", "key", "value")}
    second["output"] = dense("attention.layout_output.dense", narrow, narrow)
    second = {name: part | {"component": "attention"} for name, part in second.items()}
    second["norm_1"] = layer_norm("attention.layout_output.LayerNorm")
    names = {"up_proj": "layout_intermediate.dense", "down_proj": "layout_output.dense"}
    second["feed_forward"] = feed_forward(c) | {"size": max(1, c.size("intermediate_size") // shrink), "names": names}
    second["norm_2"] = layer_norm("layout_output.LayerNorm")
    parts = encoder(c, style, one | {"layout": {"path": "", "width": narrow, **second}})
    layers = {"layers": parts.pop("layers")}
    return assembled(c, style, parts | {"boxes": {"path": "layout_embeddings", "width": narrow, **boxes}} | layers)


def canine(c: Config) -> Tree:
    """CANINE (Clark et al. 2022): characters by hashes, one layer on all of them, the others on every fourth, and back."""
    style, width = Style(base="canine", pooled=HEADED, cross=False), c.size("hidden_size")
    hashes, buckets = c.size("num_hash_functions"), c.size("num_hash_buckets")
    number = min(hashes, MOST_DEPTH)
    one, rate = layer(c, style), c.size("downsampling_rate")
    parts: Tree = {}
    for index in range(number):
        path = f"char_embeddings.HashBucketCodepointEmbedder_{index}"
        parts[f"hash_{index + 1}"] = {"kind": "embedding", "vocabulary": buckets, "size": max(1, width // hashes), "path": path}
    parts["position"] = {"rows": buckets, "path": "char_embeddings.char_position_embeddings"}
    parts["token_types"] = {"kind": "embedding", "vocabulary": c.size("type_vocab_size"), "path": "char_embeddings.token_type_embeddings"}
    parts |= {"embedding_norm": layer_norm("char_embeddings.LayerNorm"), **dropped(c, "hidden_dropout_prob")}
    fields = {"cache": False}
    parts["first"] = stack("initial_char_encoder.layer.{}", {"layer": one}, "layer", **fields)
    down = {"kind": "convolution", "path": "chars_to_molecules.conv", "kernel": rate, "stride": rate}
    parts |= {"down": down, "down_norm": layer_norm("chars_to_molecules.LayerNorm")}
    parts["layers"] = stack("encoder.layer.{}", {"layer": one}, f"{c.size('num_hidden_layers')} layer", **fields)
    up = {"kind": "convolution", "path": "projection.conv", "inputs": 2 * width, "kernel": c.size("upsampling_kernel_size")}
    parts |= {"up": up, "up_norm": layer_norm("projection.LayerNorm")}
    parts["last"] = stack("final_char_encoder.layer.{}", {"layer": one}, "layer", **fields)
    task = unheaded(c)
    parts |= pooler("pooler.dense")
    if task == "base":
        return document(c, parts)
    return document(c, under("canine.", parts) | classifier(c, style, task))


def sides(c: Config, style: Style) -> Tree:
    """A layer of LXMERT in which words and regions look at each other through the same attention, then each at themselves."""
    names = {"q_proj": "att.query", "k_proj": "att.key", "v_proj": "att.value", "o_proj": "output.dense"}
    one = layer(c, style)
    crossed = one["attention"] | {"path": "visual_attention", "names": names, "source": c.size("hidden_size")}
    parts: Tree = {"cross_attention": crossed, "norm_cross": layer_norm("visual_attention.output.LayerNorm")}
    flow = ["cross_attention + norm_cross"]
    for name in ("lang", "visn"):
        feed = {"names": {"up_proj": f"{name}_inter.dense", "down_proj": f"{name}_output.dense"}}
        parts |= {
            f"{name}_attention": one["attention"] | {"kind": "attention", "path": f"{name}_self_att"},
            f"{name}_norm_1": layer_norm(f"{name}_self_att.output.LayerNorm"),
            f"{name}_feed_forward": one["feed_forward"] | feed,
            f"{name}_norm_2": layer_norm(f"{name}_output.LayerNorm"),
        }
        flow += [f"{name}_attention + {name}_norm_1", f"{name}_feed_forward + {name}_norm_2"]
    return parts | {"flow": flow}


def lxmert_heads(c: Config, style: Style, task: str) -> Tree:
    width = c.size("hidden_size")

    def head(path: str, inputs: int, outputs: int) -> Tree:
        return dense(path, inputs, outputs) | {"component": "head"}

    answers = {
        "answer_up": head("answer_head.logit_fc.{}", width, 2 * width),
        "answer_norm": layer_norm("answer_head.logit_fc.{}", size=2 * width),
        "answers": head("answer_head.logit_fc.{}", 2 * width, c.size("num_qa_labels")),
    }
    if task == "question_answering":
        return answers
    top = lm_head(c, style._replace(single_bias=True)) | {"relation": dense_head("cls.seq_relationship", 2)["head"]}
    if c.flag("task_obj_predict", True):
        top |= {"objects_dense": head("obj_predict_head.transform.dense", width, width)}
        top |= {"objects_norm": layer_norm("obj_predict_head.transform.LayerNorm")}
        for name, key in (("obj", "num_object_labels"), ("attr", "num_attr_labels"), ("feat", "visual_feat_dim")):
            if c.flag(f"visual_{name}_loss", True):
                top[f"objects_{name}"] = head(f"obj_predict_head.decoder_dict.{name}", width, c.size(key))
    return top | (answers if c.flag("task_qa", True) else {})


def lxmert(c: Config) -> Tree:
    """LXMERT (Tan & Bansal 2019): layers for words, layers for regions of an image, and layers for both."""
    task, style = unheaded(c, "pretraining"), Style(base="lxmert", cross=False)
    if task not in ("base", "pretraining", "question_answering"):
        refuse(c)
    width, one = c.size("hidden_size"), layer(c, style)
    regions: Tree = {}
    for name, key in (("visn", "visual_feat_dim"), ("box", "visual_pos_dim")):
        regions[name] = dense(f"{name}_fc", c.size(key), width)
        regions[f"{name}_norm"] = layer_norm(f"{name}_layer_norm")
    parts: Tree = embeddings(c, style) | {"regions": {"path": "encoder.visn_fc", **regions}}
    for name, kind in (("layers", ("layer", "l_layers")), ("region_layers", ("r_layers", "r_layers")), ("both", ("x_layers", "x_layers"))):
        path, key = kind
        if number := c.zero_or(key):
            built = sides(c, style) if name == "both" else one
            parts[name] = stack(f"encoder.{path}.{{}}", {"layer": built}, f"{number} layer", cache=False)
    parts |= pooler("pooler.dense")
    c.ignore("num_hidden_layers")
    if task == "base":
        return document(c, parts)
    return document(c, under("lxmert.", parts) | lxmert_heads(c, style, task))


FAMILIES: dict[str, Callable[[Config], Tree]] = {
    "bros": bros,
    "canine": canine,
    "dpr": dpr,
    "layoutlmv3": layoutlmv3,
    "lilt": lilt,
    "lxmert": lxmert,
    "markuplm": markuplm,
    "splinter": splinter,
    "visual_bert": visual_bert,
}
