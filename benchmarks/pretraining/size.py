"""What is trained: an experiment's own model and recipe, and random tokens packed as its mixture would be."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trellis.experiment.models import Llama
from trellis.experiment.pretraining import Pretraining
from trellis.experiment.whole import experiment_path, load_experiment
from trellis.manifest import Manifest, list_files
from trellis.models.size import parameters

SOURCE, END_TOKEN = "random", 0
# Nothing but steps happens while steps are timed.
QUIET = {"validation_interval": 10**9, "checkpoint_minutes": 1e6}


@dataclass(frozen=True)
class Size:
    """A decoder, the recipe it is trained by, and the rows of its embedding."""

    model: Llama
    recipe: Pretraining
    vocab_size: int

    @property
    def batch_rows(self) -> int:
        return self.recipe.batch_tokens // self.recipe.context

    def changed(self, **recipe) -> "Size":
        return replace(self, recipe=self.recipe.model_copy(update=recipe))


def size_of(experiment: str, root: Path) -> Size:
    """The treatment's model of an experiment; `tiny` is the demo's at a size for tests."""
    whole = load_experiment(experiment_path(root, "demo" if experiment == "tiny" else experiment))
    model = whole.models[whole.prereg.primary.treatment]
    size = Size(model, whole.pretraining.model_copy(update=QUIET), whole.tokenizer.vocab_size)
    if experiment != "tiny":
        return size
    small = model.model_copy(update={"hidden_size": 64, "intermediate_size": 96, "layers": 2})
    small = small.model_copy(update={"parameters": parameters(small, size.vocab_size)})
    return replace(size, model=small).changed(context=64, batch_tokens=512, micro_batch=4)


def write_mixture(folder: Path, size: Size, steps: int) -> None:
    """A packed mixture of one source of seeded random tokens, enough for `steps`, as the tokenize stage lays it out."""
    context, rows = size.recipe.context, size.batch_rows * steps
    rng = np.random.Generator(np.random.PCG64(0))
    (folder / "train").mkdir(parents=True)
    rng.integers(size.vocab_size, size=rows * context + 1, dtype=np.uint16).tofile(folder / f"train/{SOURCE}.bin")
    np.save(folder / "train/order.npy", rng.permutation(rows).astype(np.uint32))
    metrics = {
        "context": context,
        "rows": rows,
        "tokens": rows * context,
        "sources": [{"source": SOURCE, "rows": rows}],
        "validation": [],
    }
    Manifest(
        stage="tokenize",
        command="pack",
        name="random",
        fingerprint="0" * 64,
        components={},
        files=list_files(folder, {}),
        metrics=metrics,
        run={},
        folder=folder,
    ).write()
