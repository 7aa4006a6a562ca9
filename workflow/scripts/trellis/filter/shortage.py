"""Sources that cannot give what a mixture asks of them."""

from trellis.errors import TrellisError
from trellis.experiment.mixture import Mixture


def shortages(mixture: Mixture, plan: dict, needed: dict[str, int]) -> list[str]:
    """The sources that give fewer tokens than were asked for, or than their rows need."""
    return [name for name in plan if name in mixture.sources and plan[name]["selected_tokens"] < needed[name]]


def refuse(label: str, mixture: Mixture, plan: dict, short: list[str]) -> None:
    """Raises TrellisError, naming every source that is short of more than the tolerance, and the numbers that would fit."""
    beyond = {
        name: plan[name]
        for name in short
        if plan[name]["selected_tokens"] < (1 - mixture.tolerance) * plan[name]["asked_tokens"] or not mixture.tolerance
    }
    if not beyond:
        return
    sentences = "; ".join(_sentence(name, entry) for name, entry in beyond.items())
    numbers = ", ".join(f"{name}: {{tokens: {entry['selected_tokens']}}}" for name, entry in beyond.items())
    raise TrellisError(
        f"mixtures.{label}: {sentences}; set at most {numbers} under mixtures.{label}.sources (and "
        f"mixtures.{label}.tokens to their sum), or give these sources more documents (max_documents; or `tokens` of "
        f"their parts, and `python -m trellis lock`)"
    )


def _sentence(name: str, entry: dict) -> str:
    documents = entry["documents"]
    sentence = (
        f"{name} asks for {entry['asked_tokens']:,} tokens and {entry['available_tokens']:,} are available in "
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
