"""Model cards: what a reader of a model's folder has to know, from what its manifest holds.

A card says nothing that may differ between two runs of one spec: no date, no machine, no version, no runtime key. Names
and licences are data: whatever is printed is escaped, and none of it is part of the YAML.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from pydantic import TypeAdapter

from trellis.experiment.models import Model
from trellis.experiment.pretraining import Pretraining
from trellis.experiment.section import semantic
from trellis.spec import Spec
from trellis.visible import visible

DATA_FILES = ("templates/trained.md", "templates/released.md")
# What begins something in Markdown; `-`, `.` and the like are left alone, for they begin nothing inside a line.
MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&!$@:]")
KINDS = {"llama": ("LLaMA", "LlamaForCausalLM"), "gpt_neox": ("GPT-NeoX", "GPTNeoXForCausalLM")}
NAMED = 5  # licences of a source that a card names


def trained_card(spec: Spec, metrics: dict[str, Any], validation: dict[str, Any]) -> str:
    """The card of a model trained here: `metrics` as in its manifest, `validation` the last one of metrics.jsonl."""
    model = TypeAdapter(Model).validate_python(spec.config["model"])
    recipe = semantic(Pretraining.model_validate(spec.config["pretraining"]))
    mixture = spec.input("mixture").metrics
    family, architecture = KINDS[model.kind]
    return _card(
        "trained.md",
        spec,
        family=family,
        architecture=architecture,
        model=semantic(model),
        vocab_size=spec.config["vocab_size"],
        recipe=recipe,
        mixture=mixture,
        unique_tokens=sum(source["unique_tokens"] for source in mixture["sources"]),
        metrics=metrics,
        measured=validation.get("sources", {}),
    )


def released_card(spec: Spec, architecture: str, metrics: dict[str, Any]) -> str:
    """The card of a model from elsewhere; `architecture` is the class of transformers that it loads as."""
    # Where the folder lies on this machine is nobody's business.
    origin = metrics.get("repo") or Path(metrics["folder"]).name
    return _card("released.md", spec, architecture=architecture, origin=origin, metrics=metrics)


def _card(template: str, spec: Spec, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        finalize=plain,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(count=count, short=short, listed=listed, words=words)
    return environment.get_template(template).render(name=spec.name, fingerprint=spec.fingerprint, **values)


def plain(value: Any) -> str:
    """A value as text on one line of Markdown, in which nothing is markup."""
    return MARKUP.sub(r"\\\g<0>", " ".join(visible(str(value)).split()))


def count(number: float) -> str:
    """1,234,567."""
    return f"{number:,.0f}"


def short(number: float | None) -> str:
    """Four digits, large numbers as powers of ten; a dash for what was not measured."""
    return "\N{EN DASH}" if number is None else f"{number:.4g}"


def listed(names: Iterable[Any]) -> str:
    """a, b, c; of many, the first and how many more."""
    first, more = list(names)[:NAMED], list(names)[NAMED:]
    return ", ".join(map(str, first)) + (f" and {len(more)} more" if more else "")


def words(key: str) -> str:
    """A configuration key in words."""
    return key.replace("_", " ")
