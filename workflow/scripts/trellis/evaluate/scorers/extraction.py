"""The records that a passage tells of, as JSON."""

from trellis.evaluate.scorers.schema import score

__all__ = ["score"]
