"""What was measured, as Markdown."""

import datetime
import platform
import statistics
from importlib.metadata import version
from pathlib import Path

import torch

from pretraining.ladder import CEILING, Row
from pretraining.size import Size
from trellis.device import peak_flops
from trellis.models.size import hardware_flops, training_flops

HEAD = "| loop | micro-batch | tokens/s | lowest to highest | MFU | HFU | peak GiB | / (a) | / (b) | first loss |"


def table(title: str, size: Size, rows: dict[str, Row], device: torch.device, found: dict[str, list[dict]]) -> str:
    """`found` has the repeats of each row; a row of which one failed says why in place of numbers."""
    ceilings = [each["flops_per_second"] for each in found.get(CEILING, []) if "error" not in each]
    ceiling = statistics.median(ceilings) if ceilings else None
    peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    rates = {name: _rates(size, rows[name], measured) for name, measured in found.items() if name != CEILING}
    peers = [rates.get(name, []) for name in ("trainer", "original")]
    lines = [*_header(title, size, device, found, peak, ceiling), HEAD, "|" + "---|" * HEAD.count(" |")]
    for name, measured in found.items():
        if name != CEILING:
            changed = size.changed(**rows[name].changes)
            cells = _cells(changed, rates[name], measured, peak or ceiling, peers)
            lines.append("| " + " | ".join([rows[name].label, str(changed.recipe.micro_batch), *cells]) + " |")
    if ceiling:
        rate = ceiling / training_flops(size.model, size.vocab_size, size.recipe.context)
        cells = ["(c) were all at the rate of a matrix product", "", f"{rate:,.0f}", ""]
        cells += [f"{ceiling / (peak or ceiling):.1%}"] * 2 + [""] * 4
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _header(title: str, size: Size, device: torch.device, found: dict, peak: float | None, ceiling: float | None):
    recipe = size.recipe
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    yield f"# {title}, {datetime.date.today()}\n"
    yield f"{where}; Python {platform.python_version()}, torch {torch.__version__}, transformers {version('transformers')}."
    yield f"{size.model.parameters:,} parameters, context {recipe.context}, {recipe.batch_tokens:,} tokens a step."
    if ceiling:
        measured = found[CEILING][0]
        yield f"(c) is {ceiling / 1e12:.2f} TFLOP/s ({measured['product']}); clocks: {measured['clocks'] or 'not readable'}."
    whole = f"{peak / 1e12:.0f} TFLOP/s, the published peak of dense bfloat16" if peak else "(c)"
    yield f"MFU and HFU, attention by the causal convention (half of the square), are shares of {whole}.\n"


def _rates(size: Size, row: Row, measured: list[dict]) -> list[list[float]]:
    """Tokens per second of each repeat's steps, none where one failed; the original trains on one token less per row."""
    tokens = size.batch_rows * (size.recipe.context - (row.loop == "original"))
    if any("error" in each for each in measured):
        return []
    return [[tokens / seconds for seconds in each["seconds"]] for each in measured]


def _cells(size: Size, rates: list[list[float]], measured: list[dict], most: float | None, peers: list) -> list[str]:
    """All cells of a row but label and micro-batch; `most` is the FLOP/s that MFU and HFU are shares of."""
    if not rates:
        error = next(each["error"] for each in measured if "error" in each)
        return [f"failed: {error.replace('|', '/')[:200]}"] + [""] * 7
    repeats = [statistics.median(steps) for steps in rates]
    rate = statistics.median(repeats)
    shape = size.model, size.vocab_size, size.recipe.context
    work = [training_flops(*shape), hardware_flops(*shape, size.recipe.gradient_checkpointing)]
    memory = f"{max(each['peak'] for each in measured):.2f}"
    if "reserved" in measured[0]:
        memory += f" ({max(each['reserved'] for each in measured):.2f} reserved)"
    return [
        f"{rate:,.0f}",
        f"{min(repeats):,.0f} to {max(repeats):,.0f}",
        *(f"{rate * flops / most:.1%}" if most else "" for flops in work),
        memory,
        *_ratios(rates, peers),
        f"{measured[0]['loss']:.4f}",
    ]


def _ratios(rates: list[list[float]], peers: list[list[list[float]]]) -> list[str]:
    """To each peer, the median over the steps of all repeats; nothing where the peer was not measured."""
    cells = []
    for peer in peers:
        pairs = [pair for own, its in zip(rates, peer, strict=False) for pair in zip(own, its, strict=True)]
        cells.append(f"{statistics.median(own / its for own, its in pairs):.2f}" if pairs else "")
    return cells


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    count = torch.get_num_threads()
    threads = "one thread, timed in processor time" if count == 1 else f"{count} threads"
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}, {threads})"
