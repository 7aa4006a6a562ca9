"""A loss or a gradient that is no number: the training stops before a checkpoint could keep it, and names what was read."""

import json
import math
from pathlib import Path
from typing import Any

from trellis.errors import TrellisError
from trellis.manifest import write_atomically
from trellis.pretrain.rows import Place

NAME = "stopped_at.json"
NAMED = 4


def is_finite(line: dict[str, Any]) -> bool:
    """Whether loss and gradient norm of a step's line of metrics.jsonl are finite numbers."""
    return math.isfinite(line["loss"]) and math.isfinite(line["gradient_norm"])


def sentence(line: dict[str, Any], read: list[Place], work: Path) -> TrellisError:
    """Says where a training stopped, with the first rows that the step read."""
    rows = ", ".join(f"row {place.row} of {place.source}" for place in read[:NAMED])
    return TrellisError(
        f"the loss is {line['loss']} and the gradient norm {line['gradient_norm']} at step {line['step']}, which read {rows}"
        f"{', ...' * (len(read) > NAMED)} (all in {work / NAME}); the last good checkpoint is kept; look at these rows, or "
        f"lower pretraining.max_lr"
    )


def require_finite(validation: dict[str, Any], step: int) -> None:
    """Raises TrellisError when one of a validation's losses after `step` steps is no number: the mean over all sources is
    none either then."""
    if math.isfinite(validation.get("loss", 0.0)):
        return
    sources = [name for name, found in validation["sources"].items() if not math.isfinite(found["loss"])]
    raise TrellisError(
        f"the validation loss is {validation['loss']} after step {step}, on {', '.join(sources) or 'all sources together'}; "
        f"the last good checkpoint is kept; look at these validation rows, or lower pretraining.max_lr"
    )


def write(line: dict[str, Any], read: list[Place], work: Path) -> None:
    """Writes the step's line and all rows that it read to stopped_at.json; what is no number is spelled out."""
    spelled = {key: value if math.isfinite(value) else str(value) for key, value in line.items()}
    content = {**spelled, "rows": [place._asdict() for place in read]}
    write_atomically(work / NAME, json.dumps(content, indent=1) + "\n")
