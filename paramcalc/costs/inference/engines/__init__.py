"""One module an engine: what it reserves for caches, how much lives while it computes, what it takes beside.

Each has `kept` (bytes of every cache row on one rank), `activations`, `OVERHEAD`, CACHE_SOURCE and `NOT_MODELLED`. It may have
`VOCABULARY` (what it pads one to), `divide` (how layers fall to stages) and `beside_weights` (what it loads with them).
"""
