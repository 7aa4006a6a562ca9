"""The suites that need no data, through the items command: as many items as asked for, in a small context, too, and the same
bytes in every process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

import trellis
from byte_tokenizer import publish_byte_tokenizer
from trellis.chat import attach
from trellis.command import execute

KINDS = ("extraction", "format", "text_to_sql")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return publish_byte_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize(("kind", "short"), [("extraction", 300), ("format", 170), ("text_to_sql", 280)])
def test_as_many_items_as_asked_for_in_any_context(make_spec, tokenizer, tmp_path, kind, short):
    attach(reader := PreTrainedTokenizerFast.from_pretrained(tokenizer / "tokenizer"), "plain")
    for room, longest in ((4_000, 4_000), (short, 4_000), (4_000, 80)):
        config = {"name": f"my-{kind}", "suite": {"kind": kind, "items": 20, "seed": 42}, "text_share": 1.0}
        config |= {"template": "plain", "room": room, "max_new_tokens": longest, "shots": 2}
        spec = make_spec("evaluate", "items", "items", config, {"tokenizer": [tokenizer]})
        manifest = execute(spec, tmp_path / f"{room}-{longest}")
        items, excluded, shots = (
            [json.loads(line) for line in manifest.path(f"{name}.jsonl").read_text().splitlines()]
            for name in ("items", "excluded", "shots")
        )
        assert len(items) == 20 and len(shots) == (8 if kind == "format" else 2) and (room == longest) == (not excluded)
        assert manifest.metrics["kind"] == kind and manifest.metrics["splits"]["unseen"]["with_gold"] == 20
        assert set(manifest.metrics["baselines"].values()) == {0}
        for item in items:
            ids = reader.apply_chat_template(item["messages"], add_generation_prompt=True, return_dict=False)
            assert len(ids) <= room and item["suite"] == f"my-{kind}"
            assert len(item["answer"].encode()) < longest, "a byte is a token, and the end of turn is one more"
    assert len({item["stratum"] for item in items}) == {"extraction": 1, "format": 4, "text_to_sql": 4}[kind]


BUILD = """
import hashlib, importlib, json, types
from pydantic import TypeAdapter
from trellis.experiment.evaluation import Suite
for kind in {kinds}:
    suite = TypeAdapter(Suite).validate_python({{"kind": kind, "items": 5}})
    module = importlib.import_module("trellis.evaluate.suites." + kind)
    built = module.build(suite, kind, types.SimpleNamespace(config={{"shots": 2}}))
    text = json.dumps([list(built.items), built.shots])
    print(kind, hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_items_are_the_same_in_another_process():
    """Whatever order a process gives its sets."""
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(trellis.__file__).parents[1])}
        command = [sys.executable, "-c", BUILD.format(kinds=KINDS)]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1 and len(found.pop().splitlines()) == 3
