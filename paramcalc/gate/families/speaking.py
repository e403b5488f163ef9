"""Qwen2.5-Omni and Qwen3-Omni whole: the thinker, the talker that puts its words into codes, and what makes sound of these."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from paramcalc.gate.config import Config
from paramcalc.gate.families.dual import dense
from paramcalc.gate.families.llama import attention, feed_forward
from paramcalc.gate.families.llama import decoder as decoded
from paramcalc.gate.families.mixtures import ONE_SHARED, PLAINLY, QWEN3, mixture, stepped
from paramcalc.gate.families.nesting import nested
from paramcalc.gate.families.recipes import Tree, document
from paramcalc.gate.families.texts import QWEN2
from paramcalc.gate.families.vision import refuse
from paramcalc.gate.families.waves import coded, diffusion, vocoder

EXPERTS = partial(mixture, **ONE_SHARED, shared_name="shared_expert", shared_fields={"gate": True})


def talker_2_5(c: Config) -> Tree:
    """A language model of codes, over the thinker's states; its table is as wide as these."""
    c.serves = "base"
    c.ignore("spatial_merge_size", "position_id_per_seconds", "seconds_per_chunk")
    inner, width, read = QWEN2(c)["parts"], c.size("hidden_size"), c.size("embedding_size")
    inner["embedding"] |= {"size": read}
    return {
        "path": "talker",
        "width": width,
        "input": dense("thinker_to_talker_proj", read, width),
        "model": {"path": "model", **inner},
        "head": dense("codec_head", width, c.size("vocab_size"), bias=False, component="head"),
    }


def token_to_wave(c: Config) -> Tree:
    parts = {"diffusion": diffusion(c.part("dit_config")), "vocoder": vocoder(c.part("bigvgan_config"))}
    return {"path": "token2wav", "cache": False, "tower": "speech", "width": parts["diffusion"]["width"], **parts}


def talker_3(c: Config) -> Tree:
    """A sparse language model of the first code of each frame, and a small one of the frame's other codes."""
    c.ignore("spatial_merge_size", "position_id_per_seconds", "accept_hidden_layer", "num_code_groups")
    words, others = c.part("text_config"), c.part("code_predictor_config")
    words.serves = others.serves = "base"
    width, inner, read = words.size("hidden_size"), words.size("intermediate_size"), c.size("thinker_hidden_size")
    words.size("shared_expert_intermediate_size")  # which the class has no default for
    main = PLAINLY(words, attend=QWEN3, experts=EXPERTS, feeds=stepped, embed="codec_embedding")["parts"]
    small = decoded(others, attend=partial(attention, qk_norm="head"), feed=partial(feed_forward, bias=False))["parts"]
    size, groups, codes = others.size("hidden_size"), others.size("num_code_groups") - 1, others.size("vocab_size")
    if groups < 1:
        others.fail("num_code_groups", "expected 2 or more")
    del small["embedding"]
    tables = {"kind": "embedding", "vocabulary": codes, "size": size, "path": "model.codec_embedding.{}", "stored": max(1, groups)}
    resized = {
        name: {"path": name, "fc1": dense("linear_fc1", read, inner, activation="silu"), "fc2": dense("linear_fc2", inner, width)}
        for name in ("text_projection", "hidden_projection")
    }
    heads = {"kind": "head", "path": "lm_head.{}", "outputs": codes, "stored": max(1, groups)}
    return {
        "path": "talker",
        "width": width,
        **resized,
        "model": {"path": "model", **main},
        "head": dense("codec_head", width, words.size("vocab_size"), bias=False, component="head"),
        "predictor": {"path": "code_predictor", "width": size, "tables": tables, "model": {"path": "model", **small}, "head": heads},
    }


def omni(c: Config, *, speaks: Callable[[Config], Tree]) -> Tree:
    """The thinker, and where audio is put out also the talker and what makes sound of its codes."""
    named = c.architecture()
    if named and not named.endswith(("OmniModel", "OmniForConditionalGeneration", "OmniMoeForConditionalGeneration")):
        refuse(c)
    c.task("generation")
    parts = nested(c.part("thinker_config"), "thinker", "thinker", task="generation")
    if c.flag("enable_audio_output", True):
        parts |= speaks(c)
    words = c.part("thinker_config").part("text_config")
    return document(c, parts, width=parts["thinker"]["width"], context=words.optional("max_position_embeddings"))


def speaks_2_5(c: Config) -> Tree:
    return {"talker": talker_2_5(c.part("talker_config")), "speech": token_to_wave(c.part("token2wav_config"))}


def speaks_3(c: Config) -> Tree:
    made = coded(c.part("code2wav_config"))
    width = c.part("code2wav_config").size("hidden_size")
    return {
        "talker": talker_3(c.part("talker_config")),
        "speech": {"path": "code2wav", "tower": "speech", "cache": False, "width": width} | made,
    }


FAMILIES = {
    "qwen2_5_omni": partial(omni, speaks=speaks_2_5),
    "qwen3_omni_moe": partial(omni, speaks=speaks_3),
}
