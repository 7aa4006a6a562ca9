"""The local hub's repos are those that the study names, the same every time, and their models load."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError

from hub_repos import GATED, parameters, populate, repositories
from local_hub import LocalHub
from trellis.evaluate.candidates import select
from trellis.patterns import matching
from trellis.sft.converters import glaive

STUDY = Path(__file__).parents[2] / "config/experiments/trellis-506m.yaml"
COLUMNS = {
    ("HuggingFaceFW/fineweb-edu", "sample/100BT/000_00000.parquet"): "text id dump url file_path language token_count",
    ("bigcode/starcoderdata", "python/train-00000-of-00002.parquet"): "max_stars_repo_path max_stars_count id content",
    (
        "HuggingFaceTB/finemath",
        "finemath-4plus/train-00000-of-00064.parquet",
    ): "url warc_filename text metadata int_score",
    ("wikimedia/wikipedia", "20231101.en/train-00000-of-00041.parquet"): "id url title text",
    ("HuggingFaceTB/smol-smoltalk", "data/train-00000-of-00004.parquet"): "messages source",
}


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as hub:
        populate(hub)
        hub.grant(GATED, "hf_granted")
        yield hub


def named(node):
    """Every mapping of the study's file that names a repo."""
    if isinstance(node, dict):
        yield from [node] if "repo" in node else []
        for inner in node.values():
            yield from named(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from named(inner)


def test_the_study_finds_all_that_it_names_and_no_decoy():
    repos = {repo_id: repo for (_, repo_id), repo in repositories().items()}
    parts = list(named(yaml.safe_load(STUDY.read_text())))
    assert {part["repo"] for part in parts} <= set(repos)
    for part in parts:
        for pattern in part.get("files", []):
            found = matching(repos[part["repo"]].files, [pattern])
            assert not repos[part["repo"]].decoys.intersection(found)
    assert sum(map(len, (repo.decoys for repo in repos.values()))) > 15


def test_the_same_arguments_give_the_same_commits(hub):
    again = repositories.__wrapped__()
    assert {key: repo.files for key, repo in again.items()} == {key: repo.files for key, repo in repositories().items()}
    with LocalHub() as other:
        populate(other, only=["allenai/peS2o", "EleutherAI/pythia-1b-deduped"])
        assert other.sha("dataset", "allenai/peS2o") == hub.sha("dataset", "allenai/peS2o")
        with pytest.raises(KeyError):
            other.sha("dataset", GATED)


def test_the_scale_is_that_of_the_documents():
    small, large = (repositories(scale)["dataset", "wikimedia/wikipedia"].files for scale in (0.2, 1.0))
    assert set(small) == set(large)
    assert 3 < sum(map(len, large.values())) / sum(map(len, small.values())) < 7


@pytest.mark.parametrize(("repo_id", "path"), COLUMNS)
def test_tables_have_the_published_columns_and_bad_rows(hub, tmp_path, repo_id, path):
    downloaded = hf_hub_download(
        repo_id, path, repo_type="dataset", endpoint=hub.endpoint, cache_dir=tmp_path, token="hf_granted"
    )
    table = pq.read_table(downloaded)
    assert set(COLUMNS[repo_id, path].split()) <= set(table.column_names)
    (main,) = {"text", "content", "messages"} & set(table.column_names)
    assert 0 < table[main].null_count < len(table) / 2


def test_the_gate_of_the_code(hub, tmp_path):
    assert HfApi(endpoint=hub.endpoint, token=False).dataset_info(GATED).gated == "auto"
    with pytest.raises(GatedRepoError):
        path = "python/train-00000-of-00002.parquet"
        hf_hub_download(GATED, path, repo_type="dataset", endpoint=hub.endpoint, cache_dir=tmp_path, token=False)


def test_function_calls_are_arrays_of_json():
    for repo_id in ("Team-ACE/ToolACE", "NousResearch/hermes-function-calling-v1"):
        for path, data in repositories()["dataset", repo_id].files.items():
            if path.endswith(".json"):
                assert all("conversations" in row for row in json.loads(data))
    answers = pq.read_table(
        io.BytesIO(
            repositories()["dataset", "argilla/apigen-function-calling"].files["data/train-00000-of-00001.parquet"]
        )
    )["answers"]
    assert json.loads(answers[0].as_py())[0]["arguments"]


def rows(repo_id, pattern):
    """The rows of the parquet files that match, one after the other."""
    files = repositories()["dataset", repo_id].files
    return [row for path in matching(files, [pattern]) for row in pq.read_table(io.BytesIO(files[path])).to_pylist()]


def test_glaives_texts_are_conversations():
    (data,) = matching(files := repositories()["dataset", "glaiveai/glaive-function-calling-v2"].files, ["*.json"])
    made = [glaive.convert(row) for row in json.loads(files[data])]
    assert [each for each in made if isinstance(each, str)] == ["malformed", "bad_order", "bad_call", "bad_tools"]
    assert {len(each) for each in made if not isinstance(each, str)} == {2, 5}


def test_some_of_the_schemas_make_questions_and_all_others_are_left_out_for_a_reason():
    patterns = ("Github_easy/*.parquet", "Github_medium/*.parquet")
    offered = [row["json_schema"] for each in patterns for row in rows("epfl-dlab/JSONSchemaBench", each)]
    found = select((str(number), json.loads(text)) for number, text in enumerate(offered) if text and text != "{")
    assert len(found.kept) >= 50 and len({candidate.tier for candidate in found.kept}) >= 3
    assert {"constant", "remote_reference", "not_compiled"} <= set(found.left_out)


@pytest.mark.parametrize(
    ("repo_id", "pattern", "texts", "answers"),
    [
        ("EleutherAI/lambada_openai", "default/test/*.parquet", "text", {}),
        ("baber/piqa", "piqa_validation.parquet", "goal sol1 sol2", {"label": {0, 1}}),
        ("allenai/ai2_arc", "ARC-Easy/test-*.parquet", "id question", {"answerKey": {*"ABCD", *"1234"}}),
        ("allenai/sciq", "data/test-*.parquet", "question support correct_answer distractor1 distractor3", {}),
        ("allenai/winogrande", "winogrande_xl/validation-*.parquet", "sentence", {"answer": {"1", "2"}}),
        ("Rowan/hellaswag", "data/validation-*.parquet", "ctx_a ctx_b ctx activity_label", {"label": {*"0123"}}),
    ],
)
def test_questions_have_the_published_columns_and_one_answer(repo_id, pattern, texts, answers):
    asked = rows(repo_id, pattern)
    assert len(asked) >= 20 and all(row[name] for row in asked for name in texts.split())
    for name, possible in answers.items():
        assert {row[name] for row in asked} <= possible
    for row in asked:
        assert "choices" not in row or row["answerKey"] in row["choices"]["label"]
        assert "sentence" not in row or row["sentence"].count("_") == 1


LOAD = """
import sys
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

for repo in sys.argv[1:]:
    kind = AutoModelForCausalLM if "pythia" in repo else AutoModel
    model, tokenizer = kind.from_pretrained(repo), AutoTokenizer.from_pretrained(repo)
    ids = tokenizer("The theorem follows.", return_tensors="pt")
    assert model(**ids) is not None
    print(repo, model.dtype, sum(each.numel() for each in model.parameters()), len(tokenizer), model.config.vocab_size)
"""


def test_models_load_through_the_hub_and_nobody_fetches_a_pickle(hub, tmp_path):
    hub.forget()
    repos = ["EleutherAI/pythia-410m-deduped", "EleutherAI/pythia-1b-deduped", "answerdotai/ModernBERT-base"]
    there = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *repos], env=os.environ | there, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[1] for line in lines] == ["torch.float16", "torch.float16", "torch.float32"]
    assert [int(line[2]) for line in lines[:2]] == [parameters(repo, 1024) for repo in repos[:2]]
    assert all(int(line[3]) <= int(line[4]) == 1024 for line in lines)
    fetched = {request.path for request in hub.requests if request.method == "GET" and request.status == 200}
    assert any(path.endswith("model.safetensors") for path in fetched)
    assert not any(path.endswith(".bin") for path in fetched)
