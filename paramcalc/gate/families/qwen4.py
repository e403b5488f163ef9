"""Qwen4-Exp: Qwen3.5's layers on parallel residual streams, with tables of hashed n-grams beside some of them."""

from __future__ import annotations

from paramcalc.gate.config import Config
from paramcalc.gate.families.linear import QWEN_EXPERTS, QWEN_IMAGES, SPLIT, delta_net
from paramcalc.gate.families.llama import attention
from paramcalc.gate.families.recipes import Tree, decoder_parts, depth, document, layered, per_layer, rms, tree

MIXERS = dict.fromkeys(("full_attention", "indexed_attention", "qwen_sparse_attention"), "global") | {"linear_attention": "linear"}
MOST_TABLES = 10_000
"""Tables of n-grams in all layers; each asks for a prime."""


def mixers(c: Config) -> list[str]:
    period = c.optional("full_attention_interval") or 4
    return per_layer(c, "layer_types", MIXERS, lambda index: "linear" if (index + 1) % period else "global")


def is_prime(number: int) -> bool:
    """Miller and Rabin's test; with these bases it is exact below 3·10^24 (Sorenson & Webster 2015)."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if number < 2 or any(number % base == 0 for base in bases):
        return number in bases
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(pow(base, odd, number), number, twos) for base in bases)


def _passes(power: int, number: int, twos: int) -> bool:
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def vocabularies(base: int, tables: int, layers: int, multiple: int) -> list[int]:
    """Rows of each layer's table: its hashes have a prime number of rows each, the next ones from `base` up, one after
    another over all layers; their sum is rounded up to a multiple."""
    sums, prime = [], base - 1
    for _ in range(layers):
        total = 0
        for _ in range(tables):
            prime += 1
            while not is_prime(prime):
                prime += 1
            total += prime
        sums.append(-(-total // multiple) * multiple)
    return sums


def memories(c: Config) -> dict[int, Tree]:
    """The n-gram memory of each layer that has one, by the layer's index."""
    layers = sorted({index - 1 for index in c.sizes("ple_layer_ids", least=1)})
    if not layers:
        return {}
    ngram = c.size("ngram_size")
    tables = (ngram - 1) * c.size("heads_per_ngram")
    if not 1 <= tables * len(layers) <= MOST_TABLES or layers[-1] >= depth(c):
        c.fail("ple_layer_ids", f"expected layers from 1 to {depth(c)}, with 1 to {MOST_TABLES:,} tables of n-grams in all")
        return {}
    rows = vocabularies(c.size("ngram_vocab_size_base"), tables, len(layers), c.size("make_ngram_vocab_size_divisible_by"))
    common = tree(
        kind="ngram_memory",
        path="ple",
        size=c.optional("ple_embed_dim") or c.size("hidden_size"),
        tables=tables,
        ngram=ngram,
        kernel=c.size("ple_conv_kernel_size"),
        streams=c.size("hc_count"),
        names={"table": "ple_embedding.ngram_embedding"},
    )
    return {layer: common | {"vocabulary": number} for layer, number in zip(layers, rows, strict=True)}


def mixed_streams(c: Config, path: str, *, gives_back: bool = True) -> Tree:
    """The map around a block: a norm over all streams, what goes in by a low-rank mix, and how much comes back to each."""
    streams = c.size("hc_count")
    width, rank = streams * c.size("hidden_size"), c.size("hc_lowrank")
    parts: Tree = {
        "norm": rms("hc_norm", size=width),
        "mix_down": tree(kind="dense", path="input_mix_weight_down", inputs=width, outputs=rank, bias=False, component="other"),
        "mix_up": tree(kind="dense", path="input_mix_weight_up", inputs=rank, outputs=width, bias=False, component="other"),
    }
    if gives_back:
        parts["inject"] = tree(kind="dense", path="block_inject_weight", inputs=width, outputs=streams, bias=False, component="other")
    return {"kind": "group", "path": path} | parts


def sparse_attention(c: Config) -> Tree:
    """Attention with an output gate, and the indexer that chooses blocks of tokens for it."""
    heads, head_dim = c.size("indexer_n_heads"), c.size("indexer_head_dim")
    indexer = tree(
        kind="indexer",
        path="self_attn.indexer",
        heads=heads,
        head_dim=head_dim,
        fused=True,
        key_norm="rms",
        query_norm=True,
        weights=False,
        names={"qk_proj": "index_qk_proj", "q_norm": "q_layernorm", "k_norm": "k_layernorm"},
    )
    return {"attention": attention(c, gate=True, qk_norm="head"), "indexer": indexer}


def qwen4_exp(c: Config) -> Tree:
    """The stream is `hc_count` times as wide as the model; no norm stands before the head but that of the last mix."""
    words, memory = mixers(c), memories(c)
    names = [f"{word}_{index}" if index in memory else word for index, word in enumerate(words)]

    def build(name: str) -> Tree:
        word, _, index = name.partition("_")
        mix = {"attention": delta_net(c, fused="qkv", names=SPLIT)} if word == "linear" else sparse_attention(c)
        return {
            **({"memory": memory[int(index)]} if index else {}),
            "streams_1": mixed_streams(c, "attn_hyper_connection"),
            **mix,
            "streams_2": mixed_streams(c, "mlp_hyper_connection"),
            "feed_forward": QWEN_EXPERTS(c),
            "flow": [*(["memory +"] if index else []), "streams_1 attention +", "streams_2 feed_forward +"],
        }

    last = mixed_streams(c, "hyper_connection_mixer", gives_back=False)
    return document(c, decoder_parts(c, layered("layers.{}", [names], build), last))


FAMILIES = {"qwen4_exp_text": qwen4_exp, "qwen4_exp": QWEN_IMAGES}
