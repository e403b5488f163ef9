"""Sizes remember how they were made, and their formula is their value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paramcalc.words.sizes import Named, Size, formula_of, product


def evaluated(size: Size) -> int:
    return eval(size.numbers.replace("×", "*"))


def test_a_product_reads_as_its_factors() -> None:
    size = Size(6, "heads") * Size(4, "head_dim")
    assert (int(size), size.formula, size.numbers) == (24, "heads × head_dim", "6 × 4")


def test_a_sum_inside_a_product_keeps_its_brackets() -> None:
    size = Size(3, "heads") * (Size(5, "nope_dim") + Size(2, "rope_dim"))
    assert size.formula == "heads × (nope_dim + rope_dim)"
    assert size == 21


def test_multiplying_by_one_says_nothing() -> None:
    assert (Size(7, "width") * 1).formula == "width"
    assert (Size(7, "width") + 0).formula == "width"


def test_a_shape_reads_as_one_product() -> None:
    shape = (Size(2, "kv_heads") * Size(3, "head_dim") + 1, Size(5, "width"))
    assert formula_of(shape) == "(kv_heads × head_dim + 1) × width"
    assert formula_of(()) == "1"
    assert product(shape) == 35


def test_named_fields_carry_their_names() -> None:
    class Part:
        heads = 12

    assert Named(Part()).heads.formula == "heads"


@given(
    st.recursive(
        st.integers(1, 50).map(lambda n: Size(n, f"n{n}")), lambda inner: st.tuples(inner, st.sampled_from("+*/-"), inner), max_leaves=12
    )
)
def test_the_printed_numbers_evaluate_to_the_value(expression: object) -> None:
    def built(node: object) -> Size:
        if isinstance(node, Size):
            return node
        left, symbol, right = node  # type: ignore[misc]
        first, second = built(left), built(right)
        if symbol == "/" and second == 0:
            return first
        return {"+": lambda: first + second, "*": lambda: first * second, "-": lambda: first - second, "/": lambda: first // second}[
            symbol
        ]()

    size = built(expression)
    assert evaluated(size) == int(size)
