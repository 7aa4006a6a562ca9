"""Tokens per second of pretraining: the study's loop, its peers, the device's own ceiling, and what each step of ours brings.

    python benchmarks/pretrain.py [--experiment trellis-506m | demo] [--repeats 3] [--steps 12] [--rows NAME ...]

Trains the experiment's own model by its own recipe on random tokens, in one run on one device: trellis-506m where there is a
GPU, demo on a processor. Nothing is downloaded. On a GPU:

    python benchmarks/pretrain.py > benchmarks/results/pretrain-506m-h100.md

The peers:

(a) transformers' Trainer: the same weights, rows, optimizer, schedule, batch, precision, compiling and threads;
(b) the original study's loop, reconstructed (pretraining/original.py says what is kept of it);
(c) the fastest of a few large matrix products, in the precision that the recipe multiplies in.

Each measurement is a process of its own, so that its peak of memory is its own; the contenders take turns, on a processor
step by step, so that a drift of the machine meets all alike. A repeat counts with the median of its steps after a warm-up;
the table has the median of the repeats, their lowest and highest. A ratio is the median over all steps of how much faster one
was than the peer's in the same turn. One thread of a processor is timed in processor time, all else by the clock.

MFU counts the FLOPs that training needs, attention by the causal convention (half of the square); HFU also what checkpointing
computes again. Both are shares of the device's dense bfloat16 peak, or of (c) where no peak is published. Peak GiB is what
tensors took of the GPU (in brackets what the allocator held for them), or what the whole process took of the processor's
memory.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))
WARM_UP = 4


def main() -> None:
    """Prints one Markdown table; each measurement goes to standard error as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", choices=["trellis-506m", "demo", "tiny"], help="tiny is for tests")
    parser.add_argument("--rows", nargs="+", help="only these, by their names in pretraining/ladder.py, or ceiling")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="timed, after a warm-up")
    parser.add_argument("--threads", type=int, default=1, help="of the processor; one is timed by its own clock")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--mixture", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    # As command.py does, before any library starts its threads.
    os.environ.update(OMP_NUM_THREADS=str(args.threads), OMP_WAIT_POLICY="PASSIVE", TOKENIZERS_PARALLELISM="false")
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    # Of several GPUs HF Trainer would take all.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch
    from pretraining.ladder import CEILING, rows_of
    from pretraining.size import size_of, write_mixture
    from pretraining.table import table
    from pretraining.turns import answering, measured_in_turns

    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.experiment = args.experiment or ("demo" if device.type == "cpu" else "trellis-506m")
    size = size_of(args.experiment, ROOT)
    rows = rows_of(size, device)
    if args.measure:
        wait, answer = answering()
        answer(measure(args, size, rows, device, wait))
        return
    if unknown := set(args.rows or []) - {CEILING, *rows}:
        parser.error(f"there is no row {min(unknown)} on this device (allowed: {', '.join([CEILING, *rows])})")
    found = {name: [] for name in args.rows or [CEILING, *rows]}
    with tempfile.TemporaryDirectory() as folder:
        write_mixture(Path(folder) / "mixture", size, WARM_UP + args.steps)
        commands = {name: command(args, name, Path(folder) / "mixture") for name in found}
        for _ in range(args.repeats):
            for name, result in measured_in_turns(commands).items():
                found[name].append(result)
                print(name, result, file=sys.stderr, flush=True)
    title = f"Pretraining {args.experiment}: {args.steps} steps after {WARM_UP}, {args.repeats} repeats"
    print(table(title, size, rows, device, found))


def command(args: argparse.Namespace, name: str, mixture: Path) -> list[str]:
    """This script, for one measurement."""
    words = [sys.executable, __file__, "--measure", name, "--mixture", str(mixture)]
    return words + [f"--{option}={getattr(args, option)}" for option in ("experiment", "steps", "threads")]


def measure(args: argparse.Namespace, size, rows: dict, device, wait: Callable[[], None]) -> dict:
    """The ceiling's FLOP/s; or a loop's seconds of each step, the loss of its first one, and its peak memory in GiB."""
    from pretraining import ours, peers
    from pretraining.ladder import CEILING
    from pretraining.measure import Steps, matrix_ceiling
    from pretraining.size import END_TOKEN

    from trellis.models.build import build

    if args.measure == CEILING:
        return matrix_ceiling(device, size.recipe.precision)
    row = rows[args.measure]
    size = size.changed(**row.changes)
    start = build(size.model, size.vocab_size, size.recipe.context, END_TOKEN, size.recipe.seed)
    loop = getattr(ours, row.loop, None) or getattr(peers, row.loop)
    steps = Steps(device, wait)
    with steps.watched():
        loss = loop(size, start, args.mixture, device)
    seconds = steps.seconds(WARM_UP)
    if len(seconds) != args.steps:
        raise SystemExit(f"{len(seconds)} steps were taken, not {args.steps}")
    return {"seconds": seconds, "loss": loss, **steps.peaks}


if __name__ == "__main__":
    main()
