"""Pieces of decoders with mixtures of experts: the mixture, and which layers have one."""

from __future__ import annotations

from functools import partial
from typing import Any

from paramcalc.gate.config import Config
from paramcalc.gate.families.llama import PLAIN, attention, decoder
from paramcalc.gate.families.recipes import Tree, depth, learned_activation, per_layer, tree

SPARSE = {"dense": "dense", "sparse": "sparse"}
"""The words of `mlp_layer_types`."""


def mixture(
    c: Config,
    *,
    size: str = "moe_intermediate_size",
    shared: str | int | None = None,
    shared_size: str | None = None,
    visited: str | int = "num_experts_per_tok",
    path: str = "mlp",
    router: str = "gate",
    shared_name: str = "shared_experts",
    shared_fields: Tree | None = None,
    bias: bool = False,
    router_fields: Tree | None = None,
    **fields: Any,
) -> Tree:
    """Routed experts of `size`, and `shared` of them (a key, or a number) of `shared_size` each in one network.

    `router` and `shared_name` are the reference's names. A config that says nothing of how many are visited, or none, leaves
    that open; a spec has to say it.
    """
    activation = c.text("hidden_act", "silu")
    if learned_activation(activation, path):
        c.fail("hidden_act", f"{activation!r} has parameters, which are not modelled for experts")
    number = (c.optional(shared, least=0) or 0) if isinstance(shared, str) else shared
    beside = None
    if number and (each := c.optional(shared_size or size, least=0)):
        beside = tree(size=number * each, activation=activation, **(shared_fields or {}))
    seen = (c.size(visited) if c.spec else c.zero_or(visited) or None) if isinstance(visited, str) else visited
    names = {name: its for name, its in (("router", router), ("shared_expert", shared_name)) if name == "router" or beside}
    return (
        {"kind": "experts", "path": path, "count": c.size("num_experts"), "visited": seen}
        | tree(expert=tree(size=c.size(size), bias=bias or None, activation=activation), shared=beside, router=dict(router_fields or {}))
        | {"names": names | fields.pop("names", {})}
        | tree(**fields)
    )


def sparse_after(key: str | int, c: Config, words: str | None = None) -> list[str]:
    """Dense layers first, as many as `key` says (or as given), where the list under `words` does not say which."""
    first = (c.optional(key, least=0) or 0) if isinstance(key, str) else key

    def default(index: int) -> str:
        return "dense" if index < first else "sparse"

    return per_layer(c, words, SPARSE, default, other="dense") if words else [default(index) for index in range(depth(c))]


def stepped(c: Config, only: tuple[int, ...] = ()) -> list[str]:
    """Every `decoder_sparse_step`-th layer, but those in `mlp_only_layers` (Qwen 2 MoE)."""
    step = c.optional("decoder_sparse_step") or 1
    dense = set(only if c.value("mlp_only_layers") is None else c.sizes("mlp_only_layers"))
    return ["dense" if index in dense or (index + 1) % step else "sparse" for index in range(depth(c))]


PLAINLY = partial(decoder, feed=PLAIN)
QWEN3 = partial(attention, qk_norm="head")
OF_ITS_SIZE = partial(mixture, size="intermediate_size")
DEEPSEEK = partial(mixture, shared="n_shared_experts")
FIRST_DENSE = partial(sparse_after, "first_k_dense_replace")
ONE_SHARED: Tree = {"shared": 1, "shared_size": "shared_expert_intermediate_size"}
