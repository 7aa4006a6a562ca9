"""The scorers, a module a kind of suite: `score(item, output) -> {metric: 0..1 or None}`, imported by the kind's name.

A model's output is hostile input: whatever it is, it is scored within bounded time and memory, never an exception. Metrics
that a scorer does not name are null. `truncated` and `nll_per_byte` are not its business.
"""
