"""Small repos for the local hub, with the ids, folders and columns of those that the study reads; all text is generated.

Every file of documents, conversations and schemas ends with the bad rows that its builder lists as `bad`. `decoys` are
files that no pattern of the study reaches, or weights that are pickled: nobody may fetch them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from hub_repos import benchmarks, calls, pages, posts
from hub_repos.files import DECOY
from hub_repos.models import model_repos, parameters
from hub_repos.text import code, passage, rng
from hub_storage import Gate, Licence
from local_hub import LocalHub

__all__ = ["GATED", "Contents", "parameters", "populate", "repositories"]

GATED = "bigcode/starcoderdata"
DATASETS = {
    "HuggingFaceFW/fineweb-edu": (pages.fineweb, "odc-by"),
    GATED: (posts.starcoder, "other"),
    "HuggingFaceTB/finemath": (pages.finemath, "odc-by"),
    "allenai/peS2o": (pages.pes2o, "odc-by"),
    "wikimedia/structured-wikipedia": (pages.structured, ["cc-by-sa-4.0", "gfdl"]),
    "trl-lab/SQaLe-text-to-SQL-dataset": (posts.sqale, "mit"),
    "HuggingFaceH4/stack-exchange-preferences": (posts.stackexchange, "cc-by-sa-4.0"),
    "wikimedia/wikipedia": (pages.wikipedia, ["cc-by-sa-3.0", "gfdl"]),
    "HuggingFaceH4/ultrachat_200k": (posts.ultrachat, "mit"),
    "common-pile/comma_v0.1_training_dataset": (pages.comma, "other"),
    "Team-ACE/ToolACE": (calls.toolace, "apache-2.0"),
    "NousResearch/hermes-function-calling-v1": (calls.hermes, "apache-2.0"),
    "argilla/apigen-function-calling": (calls.apigen, "cc-by-4.0"),
    "glaiveai/glaive-function-calling-v2": (calls.glaive, "apache-2.0"),
    "HuggingFaceTB/smol-smoltalk": (posts.smoltalk, "apache-2.0"),
    "epfl-dlab/JSONSchemaBench": (benchmarks.json_schemas, "mit"),
    "EleutherAI/lambada_openai": (benchmarks.lambada, "mit"),
    "baber/piqa": (benchmarks.piqa, []),
    "allenai/ai2_arc": (benchmarks.arc, "cc-by-sa-4.0"),
    "allenai/sciq": (benchmarks.sciq, "cc-by-nc-3.0"),
    "allenai/winogrande": (benchmarks.winogrande, []),
    "Rowan/hellaswag": (benchmarks.hellaswag, []),
}


@dataclass(frozen=True)
class Contents:
    """One repo: its files, what its card says, and the files of it that nobody may fetch."""

    files: dict[str, bytes]
    licence: Licence
    gated: Gate
    decoys: frozenset[str]


def populate(hub: LocalHub, scale: float = 1.0, vocab_size: int = 1024, only: Iterable[str] | None = None) -> None:
    """Adds every repo, or those named in `only`. Each of the sources holds 150,000 to 300,000 characters times `scale`;
    the models' embeddings have `vocab_size` rows, and their tokenizers somewhat fewer tokens. The same arguments give the
    same commits on a new hub. No token has access to the gated repo until it is granted.
    """
    wanted = None if only is None else set(only)
    for (kind, repo_id), repo in repositories(scale, vocab_size).items():
        if wanted is None or repo_id in wanted:
            hub.add(kind, repo_id, repo.files, gated=repo.gated, licence=repo.licence, message="First files")


@cache
def repositories(scale: float = 1.0, vocab_size: int = 1024) -> dict[tuple[str, str], Contents]:
    """{(kind, id): contents} of all repos."""
    made = {}
    for repo_id, (build, licence) in DATASETS.items():
        files = build(scale)
        decoys = frozenset(path for path, data in files.items() if data == DECOY)
        made["dataset", repo_id] = Contents(_with_card(files), licence, "auto" if repo_id == GATED else False, decoys)
    texts = [passage(rng("tokenizer", number)) for number in range(200)]
    texts += [
        code(rng("tokenizer", number), language) for number in range(20) for language in ("python", "json", "sql")
    ]
    for repo_id, files in model_repos(vocab_size, texts).items():
        pickled = frozenset(path for path in files if path.endswith(".bin"))
        made["model", repo_id] = Contents(_with_card(files), "apache-2.0", False, pickled)
    return made


def _with_card(files: dict[str, bytes]) -> dict[str, bytes]:
    return {"README.md": b"A repo of the local hub.\n", ".gitattributes": b"*.parquet filter=lfs\n", **files}
