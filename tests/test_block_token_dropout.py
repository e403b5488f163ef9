"""What stands between an embedding and a layer, or beside the stream, in closed form: fp32, batch 2, length 5, width 6."""

from __future__ import annotations

from typing import Any

import pytest

import paramcalc
from paramcalc.costs.training.job import TrainingJob
from paramcalc.costs.training.plan import plan_training

B, S, H, V = 2, 5, 6, 7


def kept(**parts: dict[str, Any]) -> int:
    tree = {"name": "x", "width": H, "parts": {"embedding": {"vocabulary": V}, **parts}}
    return plan_training(paramcalc.load(tree), TrainingJob(precision="fp32", batch_size=B, seq_len=S)).saved_for_backward


def test_token_dropout_keeps_which_tokens_are_masked_and_a_share_for_each_sequence() -> None:
    assert kept(drop={"kind": "token_dropout"}) == B * S + 4 * B


def test_a_table_read_by_columns_keeps_all_columns_once() -> None:
    side = {"kind": "embedding", "vocabulary": 3, "index": "columns", "columns": 4, "reads": 2}
    assert kept(x=side) == kept(x=side, y=side) == 8 * B * S * 4


def test_a_table_that_joins_makes_the_stream_wider() -> None:
    """The layer behind it reads both widths, and the indices are kept."""
    shape = {"kind": "embedding", "vocabulary": 3, "size": 4, "index": "made", "joins": True}
    mix = {"kind": "dense", "inputs": H + 4}
    assert kept(shape=shape, mix=mix) == 8 * B * S + 4 * B * S * (H + 4)


def test_a_layer_beside_the_stream_is_computed_or_idle() -> None:
    """On the first token of each sequence: its input is a view of the whole stream, and tanh keeps what it makes."""
    pooler = {"kind": "dense", "activation": "tanh", "first": True}
    assert kept(pooler=pooler | {"side": "computed"}) == 4 * B * S * H + 4 * B * H
    assert kept(pooler=pooler | {"side": "idle"}) == 0


@pytest.mark.parametrize(
    ("activation", "tensors", "more"),
    [
        ("gelu_python", 3, 0),  # x / √2, x / 2 and 1 + erf; x itself is not needed
        ("xielu", 5, 4 + 4),  # x, α x, α x · x's factor, e^x - 1, what α_n multiplies; both slopes
    ],
)
def test_an_activation_written_out_keeps_what_its_products_read(activation: str, tensors: int, more: int) -> None:
    network = {"kind": "feed_forward", "size": 4, "gated": False, "activation": activation}
    signs = B * S * 4 if activation == "xielu" else 0
    inputs, product = 4 * B * S * H, 4 * B * S * 4
    assert kept(network=network) == inputs + product + tensors * 4 * B * S * 4 + signs + more - (product if activation == "xielu" else 0)
