"""Vision transformers that point at things: YOLOS, OWL-ViT; and ViLT, which reads words and patches in one stream."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.clip import text_encoder, vision_encoder
from paramcalc.gate.families.dual import both, dense, pair
from paramcalc.gate.families.recipes import Tree, document, labels, layer_norm, plain_activation, stack, tied, tree, under
from paramcalc.gate.families.vision import BERT, attention, encoder_layer, feed_forward, patch_embedding, patches, refuse, token
from paramcalc.gate.families.vision import pair as sides

BOX = 4
"""Numbers that say where a box is."""


def perceptron(path: str, inputs: int, width: int, outputs: int, depth: int = 3) -> Tree:
    """Dense layers with ReLUs between them, as detectors end."""
    steps: Tree = {"path": path}
    for index in range(1, depth):
        steps[f"linear_{index}"] = dense("layers.{}", inputs if index == 1 else width, width, activation="relu")
    return steps | {f"linear_{depth}": dense("layers.{}", width if depth > 1 else inputs, outputs)}


def bert_layers(c: Config) -> Tree:
    bias = True if c.flag("qkv_bias", True) else ["o"]
    layer = encoder_layer(BERT, attention(c, BERT, bias=bias), feed_forward(c, BERT))
    return stack("encoder.layer.{}", {"layer": layer}, f"{c.size('num_hidden_layers')} layer")


def pooler() -> Tree:
    return {"pooler": {"kind": "dense", "path": "pooler.dense", "activation": "tanh"}}


def yolos(c: Config) -> Tree:
    """YOLOS (Fang et al. 2021): learned tokens among the patches become boxes; positions are added again before each layer."""
    width, task, extra = c.size("hidden_size"), c.task("base"), c.size("num_detection_tokens")
    (height, columns), (rows, _) = sides(c, "image_size"), sides(c, "patch_size")
    count, layers = 1 + patches(c) + extra, c.size("num_hidden_layers")
    parts: Tree = {
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width),
        "detection_tokens": token("embeddings.detection_tokens", 1, extra, width),
        "position": {"rows": count, "bare": True, "path": "embeddings.position_embeddings"},
    }
    if c.flag("use_mid_position_embeddings", True) and layers > 1:
        inner = 1 + height * columns // rows**2 + extra
        middle = token("encoder.interpolation.mid_position_embeddings", layers - 1, 1, inner, width)
        parts["middle_positions"] = middle | {"component": "position_embedding"}
    parts |= {"layers": bert_layers(c), "norm": layer_norm("layernorm")}
    if task == "base":
        parts |= pooler()
    elif c.architecture().endswith("ForObjectDetection"):
        parts = under("vit.", parts)
        parts["classes"] = perceptron("class_labels_classifier", width, width, labels(c) + 1) | {"tower": "head"}
        parts["boxes"] = perceptron("bbox_predictor", width, width, BOX) | {"tower": "head"}
    else:
        refuse(c)
    return document(c, parts, tokens=count, cache=False)


def vilt(c: Config) -> Tree:
    """ViLT (Kim et al. 2021): words and patches, each with positions and a type of their own, through one transformer."""
    width, task, named = c.size("hidden_size"), c.task("base"), c.architecture()
    c.ignore("max_image_length")
    words = "embeddings.text_embeddings"
    about = {"kind": "embedding"}
    parts: Tree = {
        "embedding": {"vocabulary": c.size("vocab_size"), "path": f"{words}.word_embeddings"},
        "token_types": about | {"vocabulary": c.size("type_vocab_size"), "path": f"{words}.token_type_embeddings"},
        "position": {"rows": c.size("max_position_embeddings"), "path": f"{words}.position_embeddings"},
        "embedding_norm": layer_norm(f"{words}.LayerNorm"),
        "patches": patch_embedding(c, "embeddings.patch_embeddings.projection"),
        "cls_token": token("embeddings.cls_token", 1, 1, width),
        "patch_position": {"kind": "position", "rows": patches(c) + 1, "bare": True, "path": "embeddings.position_embeddings"},
        "modalities": about | {"vocabulary": c.size("modality_type_vocab_size"), "path": "embeddings.token_type_embeddings"},
        "layers": bert_layers(c),
        "norm": layer_norm("layernorm"),
    }
    if task != "token_classification":
        parts |= pooler()
    if task == "base":
        return document(c, parts, cache=False)
    return document(c, under("vilt.", parts) | vilt_head(c, task, named, width), cache=False)


def vilt_head(c: Config, task: str, named: str, width: int) -> Tree:
    if task == "masked_lm":
        return {
            "head_dense": dense("mlm_score.transform.dense", width, width, activation=plain_activation(c), component="head"),
            "head_norm": layer_norm("mlm_score.transform.LayerNorm"),
            "head": tree(
                kind="head", path="mlm_score.decoder", outputs=c.size("vocab_size"), bias=True, tied=tied(c, "embedding", default=True)
            ),
        }
    if task == "token_classification":
        return {"head": dense("classifier", width, labels(c), component="head")}
    if named.endswith("ForImageAndTextRetrieval"):
        return {"head": dense("rank_output", width, 1, component="head")}
    if task == "question_answering":
        return two_steps(width, 2 * width, labels(c))
    if named.endswith("ForImagesAndTextClassification"):
        images = c.optional("num_images") or 1
        return two_steps(width * images, width * images, labels(c))
    refuse(c)
    return {}


def two_steps(inputs: int, inner: int, outputs: int) -> Tree:
    return {
        "head_dense": dense("classifier.{}", inputs, inner, component="head"),
        "head_norm": layer_norm("classifier.{}", size=inner),
        "head": dense("classifier.{}", inner, outputs, component="head"),
    }


def owl(c: Config) -> Tree:
    """OWL-ViT and its second version (Minderer et al. 2022, 2023): CLIP, each of whose patches may be an object."""
    if not c.architecture().endswith("ForObjectDetection"):
        return pair(c, both)
    c.serves = "base"
    inner = pair(c, both)
    width, words = c.part("vision_config").size("hidden_size"), c.part("text_config").size("hidden_size")
    heads: Tree = {
        "norm": layer_norm("layer_norm", size=width),
        "classes": {
            "path": "class_head",
            "tower": "head",
            "linear": dense("dense0", width, words),
            "shift": dense("logit_shift", width, 1),
            "scale": dense("logit_scale", width, 1),
        },
        "boxes": owl_head("box_head", width, BOX),
    }
    if c.model_type == "owlv2":
        heads["objectness"] = owl_head("objectness_head", width, 1)
    return inner | {"parts": under(f"{c.model_type}.", inner["parts"]) | heads}


def owl_head(path: str, width: int, outputs: int) -> Tree:
    sizes = ((width, "gelu"), (width, "gelu"), (outputs, None))
    steps = {f"linear_{index}": dense(f"dense{index}", width, size, activation=name) for index, (size, name) in enumerate(sizes)}
    return {"path": path, "tower": "head"} | steps


def owl_text(c: Config) -> Tree:
    alone = c.architecture().endswith("TextModel")
    made = text_encoder(c)
    return made | {"parts": under("text_model.", made["parts"])} if alone else made


def owl_vision(c: Config) -> Tree:
    return vision_encoder(c, before="pre_layernorm", prefix="vision_model." if c.architecture().endswith("VisionModel") else "")


FAMILIES = {
    "owlv2": owl,
    "owlv2_text_model": owl_text,
    "owlv2_vision_model": owl_vision,
    "owlvit": owl,
    "owlvit_text_model": owl_text,
    "owlvit_vision_model": owl_vision,
    "vilt": vilt,
    "yolos": yolos,
}
