"""Any valid instance of a real schema is an answer."""

from trellis.evaluate.scorers.schema import score

__all__ = ["score"]
