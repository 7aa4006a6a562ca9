"""Sources that cannot give what a mixture asks of them."""

from collections.abc import Iterator

from trellis.budget import rows_within, to_read
from trellis.errors import TrellisError
from trellis.experiment.mixture import MOST_REPEATS, Mixture


def shortages(plan: dict) -> list[str]:
    """The sources that give fewer tokens than, read as often as the mixture says, are asked for, or than their rows need."""
    return [name for name, entry in plan.items() if entry["selected_tokens"] < entry["needed_tokens"]]


def refuse(label: str, mixture: Mixture, plan: dict, short: list[str], context: int) -> None:
    """Raises TrellisError, naming every source that is short of more than the tolerance, and the numbers that would fit."""
    there = {name: to_read(plan[name]["selected_tokens"], plan[name]["repeat"]) for name in short}
    beyond = [
        name
        for name in short
        if there[name] < (1 - mixture.tolerance) * plan[name]["asked_tokens"] or not mixture.tolerance
    ]
    if not beyond:
        return
    sentences = "; ".join(_sentence(name, plan[name]) for name in beyond)
    # Of a budget of whole rows no more rows are asked for than it has.
    fitting = {name: rows_within(there[name], context) * context for name in beyond}
    numbers = ", ".join(f"{name}: {{tokens: {tokens}}}" for name, tokens in fitting.items() if tokens)
    cures = [f"set at most {numbers}"] if numbers else []
    cures += [f"leave out {name}" for name, tokens in fitting.items() if not tokens]
    repeats = ", ".join(f"{name}: {{repeat: {times:g}}}" for name, times in _repeats(plan, beyond))
    raise TrellisError(
        f"mixtures.{label}: {sentences}; {' and '.join(cures)} under mixtures.{label}.sources (and mixtures.{label}.tokens "
        f"to their sum), {f'read them more often ({repeats}), ' if repeats else ''}or give these sources more documents "
        f"(max_documents; or `tokens` of their parts, and `python -m trellis lock`)"
    )


def _repeats(plan: dict, names: list[str]) -> Iterator[tuple[str, float]]:
    """How often documents would have to be read where all are taken, no quota stands in the way, and it may be that often."""
    for name in names:
        entry = plan[name]
        if 0 < entry["selected_tokens"] == entry["available_tokens"]:
            tokens = max(entry["asked_tokens"], entry["granted_tokens"] + 1)
            often = -(-100 * tokens // entry["selected_tokens"]) / 100
            if often <= MOST_REPEATS:
                yield name, often


def _sentence(name: str, entry: dict) -> str:
    documents, repeat = entry["documents"], entry["repeat"]
    again = "" if repeat == 1 else f" ({entry['needed_tokens']:,}, read {repeat:g} times)"
    sentence = (
        f"{name} asks for {entry['asked_tokens']:,} tokens{again} and {entry['available_tokens']:,} are available in "
        f"{documents['available']:,} of {documents['raw']:,} documents"
    )
    reasons = {"unscored": "have no scores", "outside": f"are outside rule {entry['select']}"}
    if left_out := [f"{documents[fate]:,} {words}" for fate, words in reasons.items() if documents[fate]]:
        sentence += f" ({', '.join(left_out)})"
    if entry["available_tokens"] > entry["selected_tokens"]:
        cell = max(entry["cells"], key=lambda cell: cell["asked_tokens"] - cell["granted_tokens"])
        sentence += (
            f", of which its quotas let {entry['selected_tokens']:,} be taken (group {cell['group']}, bin {cell['bin']} lacks "
            f"{cell['asked_tokens'] - cell['granted_tokens']:,}: raise the caps of others, or set `redistribute: true`)"
        )
    return sentence
