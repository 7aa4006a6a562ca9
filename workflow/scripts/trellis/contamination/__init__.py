"""Contamination: which texts, to be trained on, give an evaluation text away.

    reference = Reference.load(path, rules)     # reference.jsonl of evaluate_schemas: id, suite, text
    reference.hits(texts)                       # per text a Hit (id, suite, how, ...) or None

Pretraining documents and conversations for fine-tuning are judged by the same index; a conversation is the text of all
its messages, system prompt and tools included, joined by newlines.
"""

from trellis.contamination.reference import Hit, Reference

__all__ = ["Hit", "Reference"]
