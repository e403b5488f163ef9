"""Which parameters a training method trains, and which it adds: one function a method, equal to what PEFT builds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from paramcalc.holdings.inventory import inventory
from paramcalc.holdings.modules import LINEAR, STACK, TABLE, Module, is_pattern, matching, modules, named, names_in, unmatched
from paramcalc.holdings.peft_defaults import IA3, LORA, MAMBA, NOT_ON_MAMBA, WIDTH_PREFIX, expert_names, stacked_targets
from paramcalc.model.architecture import Architecture
from paramcalc.model.parts import Block, Group
from paramcalc.model.rows import BIAS, EMBEDDING, WEIGHT, Row
from paramcalc.words.errors import UsageError
from paramcalc.words.nearest import did_you_mean

ADAPTERS = "adapters"
"""The component of every row that a method adds."""


class Method(NamedTuple):
    """How a model is trained."""

    name: str = "full"
    rank: int = 8
    """Rank of LoRA's matrices."""
    targets: str | None = None
    """Module names (comma list), a regular expression for the whole path, `attention`, `all-linear`; PEFT's default if None."""
    adapter_size: int = 64
    """Width of a Houlsby adapter."""
    virtual_tokens: int = 20
    """Tokens that prompt and prefix tuning put before the input."""
    last_n: int = 1
    """Layers that train, counted from the end."""


class Site(NamedTuple):
    """One module with an adapter on it."""

    module: Module
    kind: str
    """`lora`, `dora`, or `ia3`."""
    rank: int = 0
    on_input: bool = False
    """Whether IA3 scales the input."""


class Adapted(NamedTuple):
    """An architecture under a method."""

    method: Method
    added: list[Row]
    """Rows that the method adds; all train."""
    trained: list[Row]
    """Rows of the architecture that train, with as many copies as do."""
    sites: dict[tuple[str, str], Site]
    """Adapted modules by their full name and their part: kinds of layers may share names and not sizes."""
    source: bool = False
    """Whether an encoder's tokens are read by a decoder: PEFT puts a prompt before the encoder's, a prefix before the decoder's."""

    @property
    def added_total(self) -> int:
        return sum(row.total for row in self.added)

    @property
    def trainable(self) -> int:
        """Parameters that train."""
        return self.added_total + sum(row.total for row in self.trained)


def adapt(architecture: Architecture, method: Method) -> Adapted:
    """Apply a method. Raises UsageError where the method is unknown, or its targets are not there."""
    name = ALIASES.get(method.name, method.name)
    if name not in _METHODS:
        raise UsageError(f"unknown method: {method.name!r:.60}", place="method", hint=did_you_mean(method.name, METHODS))
    for field, value in (("rank", method.rank), ("adapter_size", method.adapter_size), ("virtual_tokens", method.virtual_tokens)):
        if value < 1:
            raise UsageError(f"expected at least 1, got {value}", place=field)
    return _METHODS[name](architecture, method._replace(name=name))


def _full(architecture: Architecture, method: Method) -> Adapted:
    return Adapted(method, [], [row for row in inventory(architecture) if row.trainable], {})


def _bitfit(architecture: Architecture, method: Method) -> Adapted:
    """Every parameter named `bias` (Ben Zaken et al. 2022)."""
    biases = [row for row in inventory(architecture) if row.kind == BIAS and row.name.rpartition(".")[2] == "bias"]
    return Adapted(method, [], biases, {})


def _last_n(architecture: Architecture, method: Method) -> Adapted:
    """The last layers of the last stack; table, final norm and head stay as they are."""
    path, stack = last_stack(architecture)
    depth = sum(stack.layers.counts().values())
    if not 1 <= method.last_n <= depth:
        raise UsageError(f"expected 1 to {depth} layers, got {method.last_n}", place="last_n")
    share: dict[str, int] = {}
    left = method.last_n
    for kind, count in reversed(list(stack.layers.runs())):
        taken = min(count, left)
        share[kind] = share.get(kind, 0) + taken
        left -= taken
        if not left:
            break
    counts = stack.layers.counts()
    trained = []
    for row in inventory(architecture):
        kind = row.part.removeprefix(f"{path}.").partition(".")[0] if row.part.startswith(f"{path}.") else ""
        if row.trainable and share.get(kind):
            copies = row.repeat * share[kind] // counts[kind] if row.repeat % counts[kind] == 0 else row.repeat
            trained.append(row._replace(repeat=copies, applied=copies))
    return Adapted(method, [], trained, {})


def _lora(architecture: Architecture, method: Method) -> Adapted:
    """LoRA (Hu et al. 2021): A [r, inputs] and B [outputs, r] beside a frozen W. DoRA (Liu et al. 2024) adds a magnitude [outputs].

    On a table A is [r, rows] and B [width, r]; on stacked experts one pair spans them all: A [r·experts, inputs], B [outputs, r·experts].
    """
    sites = {(module.name, module.part): Site(module, method.name, rank) for module, rank in lora_targets(architecture, method)}
    return Adapted(method, [row for site in sites.values() for row in _lora_rows(site)], [], sites)


def lora_targets(architecture: Architecture, method: Method) -> list[tuple[Module, int]]:
    """The modules that LoRA is put on, each with its rank."""
    every = modules(architecture)
    model_type = architecture.model_type
    targets = method.targets or LORA.get(model_type or "", "query-value")
    chosen, parameters, doubled, asked = _chosen(
        every, model_type, targets, images=bool(architecture.root.image or architecture.root.sound_rate)
    )
    found = [(module, method.rank) for module in every if module.kind in (LINEAR, TABLE) and chosen(module)]
    stacked = [module for module in every if module.kind not in (LINEAR, TABLE) and named(parameters)(module.name)]
    if stacked and method.name == "dora":
        raise UsageError("DoRA cannot be put on experts that are stacked in one tensor", place="method", hint="lora can, or leave them out")
    found += [(module, method.rank * (2 if module.last in doubled else 1)) for module in stacked]
    unmatched(asked, [module for module, _ in found], every)
    refused = sorted({module.last for module, _ in found} & NOT_ON_MAMBA) if model_type in MAMBA else []
    if refused:
        raise UsageError(
            f"PEFT refuses {', '.join(refused)} in {model_type}: its kernel reads the weight itself and would miss the adapter",
            place="lora_targets",
            hint="name the others, as in in_proj,x_proj",
        )
    return found


Choice = tuple[Callable[[Module], bool], list[str], frozenset[str], list[str]]


def _chosen(every: list[Module], model_type: str | None, targets: str, *, images: bool = False) -> Choice:
    """A test of modules, the names of stacked parameters, those that hold two matrices, and the names asked for.

    PEFT knows no task of `images` or sound, and so adapts their classifiers as it does any dense layer.
    """
    if targets.lower() == "all-linear":
        stacks = list(expert_names(model_type))
        if not any(module.kind == STACK for module in every):
            stacks = []
        _, parameters, doubled = stacked_targets(model_type, stacks)
        # PEFT looks modules up by their last name and hands those names to the stack: a dense layer of that name is left out
        taken = named(stacks)
        return lambda m: m.kind == LINEAR and (images or not _is_output(m)) and not taken(m.name), parameters, doubled, ["all-linear"]
    if targets == "attention":
        return lambda m: m.kind == LINEAR and m.component == "attention", [], frozenset(), ["attention"]
    if targets == "query-value":
        roles = ("q_proj", "v_proj", "qkv_proj", "kv_proj", "q_b_proj")
        return lambda m: m.kind == LINEAR and m.component == "attention" and m.role in roles, [], frozenset(), list(roles)
    if is_pattern(targets):
        test = matching(targets)
        return lambda m: test(m.name), [], frozenset(), [targets]
    names = names_in(targets)
    plain, parameters, doubled = stacked_targets(model_type, names) if any(m.kind == STACK for m in every) else (names, [], frozenset())
    listed = named(plain)
    return lambda m: listed(m.name), parameters, doubled, names


def _is_output(module: Module) -> bool:
    """The output matrix of a language model, or a classifier under one of the names that PEFT leaves alone."""
    return module.role == "head" or (module.component == "head" and module.last in ("score", "classifier"))


def _lora_rows(site: Site) -> Iterator[Row]:
    module, rank = site.module, site.rank * site.module.experts
    path, a, b = module.name, "lora_A.weight", "lora_B.weight"
    if module.kind == TABLE:
        a, b = "lora_embedding_A", "lora_embedding_B"
    yield _row(module, f"{path}.{a}", (rank, module.inputs), "lora_a")
    yield _row(module, f"{path}.{b}", (module.outputs, rank), "lora_b")
    if site.kind == "dora":
        yield _row(module, f"{path}.lora_magnitude_vector.weight", (module.outputs,), "magnitude")


def _row(module: Module, name: str, shape: tuple[int, ...], role: str) -> Row:
    return Row(name, shape, WEIGHT, "linear", ADAPTERS, role, module.part, repeat=module.copies, applied=module.copies)


def _ia3(architecture: Architecture, method: Method) -> Adapted:
    """IA3 (Liu et al. 2022): a vector that scales keys and values [outputs], and the feed-forward's hidden layer [inputs]."""
    every = [module for module in modules(architecture) if module.kind == LINEAR]
    default, default_inner = IA3.get(architecture.model_type or "", ("", ""))
    if method.targets:
        chosen, _, _, asked = _chosen(every, None, method.targets)
        on_input = named(names_in(default_inner)) if default_inner else lambda _: False
        found = [(m, on_input(m.name) or m.role == "down_proj") for m in every if chosen(m)]
    elif default:
        asked = names_in(default)
        outer, inner = named(asked), named(names_in(default_inner))
        found = [(m, inner(m.name)) for m in every if outer(m.name)]
    else:  # PEFT asks for targets then; this is what the paper adapts
        asked = ["k_proj", "v_proj", "qkv_proj", "kv_proj", "down_proj"]
        found = [(m, m.role == "down_proj") for m in every if m.role in asked]
    unmatched(asked, [module for module, _ in found], every)
    sites = {(module.name, module.part): Site(module, "ia3", on_input=on_input) for module, on_input in found}
    added = [
        _row(site.module, f"{site.module.name}.ia3_l", (1, site.module.inputs) if site.on_input else (site.module.outputs, 1), "ia3")
        for site in sites.values()
    ]
    return Adapted(method, added, [], sites)


def _prompt(architecture: Architecture, method: Method) -> Adapted:
    """Prompt tuning (Lester et al. 2021): virtual tokens' embeddings, for the encoder and the decoder where there are both."""
    copies = 2 if _has_source(architecture) else 1
    shape = (method.virtual_tokens * copies, int(architecture.root.width or 0))
    return Adapted(method, [Row("prompt_encoder.embedding.weight", shape, EMBEDDING, "embedding", ADAPTERS, "prompt")], [], {}, copies == 2)


def _prefix(architecture: Architecture, method: Method) -> Adapted:
    """Prefix tuning (Li & Liang 2021) without the reparametrising network: keys and values of virtual tokens for every layer."""
    layers = width = 0
    path, _ = last_stack(architecture)
    for block, place in architecture.blocks():
        if place.part.startswith(f"{path}.") and hasattr(block, "dims") and not getattr(block, "source", None):
            _, kv_heads, head_dim, _ = block.dims(place)
            own = int(place.width if architecture.model_type in WIDTH_PREFIX else kv_heads * head_dim)
            layers, width = layers + place.applied, max(width, own)
    if not layers:
        raise UsageError("prefix tuning needs attention with keys and values, which this architecture has not", place="method")
    shape = (method.virtual_tokens, layers * 2 * width)
    row = Row("prompt_encoder.embedding.weight", shape, EMBEDDING, "embedding", ADAPTERS, "prefix")
    return Adapted(method, [row], [], {}, _has_source(architecture))


def _houlsby(architecture: Architecture, method: Method) -> Adapted:
    """Adapters (Houlsby et al. 2019): two bottlenecks a layer, each down [m, width], up [width, m] and their biases."""
    added = []
    for path, group, place in _layers(architecture):
        width, m = int(place.width), method.adapter_size
        for name in ("attention_adapter", "feed_forward_adapter"):
            for tail, shape, kind in (
                ("down_proj.weight", (m, width), WEIGHT),
                ("down_proj.bias", (m,), BIAS),
                ("up_proj.weight", (width, m), WEIGHT),
                ("up_proj.bias", (width,), BIAS),
            ):
                row = Row(f"{path}.{name}.{tail}", shape, kind, "linear", ADAPTERS, name, group)
                added.append(row._replace(repeat=place.applied, applied=place.applied))
    if not added:
        raise UsageError("adapters stand in the layers of a transformer, which this architecture has not", place="method")
    return Adapted(method, added, [], {})


class _LayerPlace(NamedTuple):
    width: int
    applied: int


def _layers(architecture: Architecture) -> Iterator[tuple[str, str, _LayerPlace]]:
    """Each kind of layer: its path in the reference, its path in the tree, its width and how often it is applied."""
    seen: dict[str, tuple[str, _LayerPlace]] = {}
    for block, place in architecture.blocks():
        group = place.part.rpartition(".")[0]
        if _is_mixer(block) and group and group not in seen:
            path = place.path[: place.path.rfind("{}") + 2] if "{}" in place.path else place.path.rpartition(".")[0]
            seen[group] = path, _LayerPlace(int(place.width), place.applied)
    for group, (path, found) in seen.items():
        yield path, group, found


def _is_mixer(block: Block) -> bool:
    return type(block).home in ("attention", "state_space", "linear_attention", "recurrent") and not getattr(block, "source", None)


def last_stack(architecture: Architecture) -> tuple[str, Group]:
    """The tree path of the last stack of layers outside of towers: a decoder where there is one."""
    stacks = [(path, group) for path, group, tower in _stacks(architecture.root, "", "") if not tower]
    if not stacks:
        raise UsageError("this method needs a stack of layers, which this architecture has not", place="method")
    return stacks[-1]


def _stacks(group: Group, path: str, tower: str) -> Iterator[tuple[str, Group, str]]:
    if group.kinds:
        yield path, group, tower
        return
    for name, part in group.parts.items():
        if isinstance(part, Group):
            yield from _stacks(part, f"{path}.{name}" if path else name, tower or part.tower or "")


def _has_source(architecture: Architecture) -> bool:
    return any(getattr(block, "source", None) for block, _ in architecture.blocks())


_METHODS: dict[str, Callable[[Architecture, Method], Adapted]] = {
    "adapter": _houlsby,
    "bitfit": _bitfit,
    "dora": _lora,
    "full": _full,
    "ia3": _ia3,
    "last-n": _last_n,
    "lora": _lora,
    "prefix": _prefix,
    "prompt": _prompt,
}
ALIASES = {"qlora": "lora", "rslora": "lora", "houlsby": "adapter", "prompt-tuning": "prompt", "prefix-tuning": "prefix"}
"""Other names; rank-stabilised LoRA (Kalajdzievski 2023) changes a factor and no size."""
METHODS = (*_METHODS, *ALIASES)
