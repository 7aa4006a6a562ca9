"""What a base model is asked: the suite's shots as turns of the template, as many as leave room."""

import json
import re

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from small_models import item, publish_items, publish_model
from trellis.command import execute
from trellis.documents import END_OF_TEXT
from trellis.evaluate.prompting import load_tokenizer, prompts

CONTEXT, NEW = 160, 10
SHOTS = [{"messages": [{"role": "user", "content": f"question {n}"}], "answer": f'{{"a":{n}}}'} for n in range(3)]
ITEMS = [item(f"i{length}", "?" * length) for length in (1, 40, 70, 75, 110, 140)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return publish_model(tmp_path_factory.mktemp("base") / "base", context=CONTEXT, template=None)


def text_of(content, shots):
    """The template's text, written out by hand."""
    before = "".join(f'user\nquestion {n}{END_OF_TEXT}assistant\n{{"a":{n}}}{END_OF_TEXT}' for n in range(shots))
    return f"{before}user\n{content}{END_OF_TEXT}assistant\n"


@pytest.mark.parametrize("shots", [0, 1, 2, 3])
def test_prompts_are_exactly_the_text_of_the_template(base, shots):
    tokenizer = load_tokenizer(base / "model", "plain")
    for prompt, each in zip(prompts(ITEMS, SHOTS, shots, tokenizer, [10_000] * len(ITEMS)), ITEMS, strict=True):
        assert prompt.shots == shots
        assert tokenizer.decode(prompt.ids) == text_of(each["messages"][0]["content"], shots)


def test_a_conversation_of_many_turns_keeps_its_turns(base):
    tokenizer = load_tokenizer(base / "model", "plain")
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    shot = {"messages": [*turns, {"role": "assistant", "content": "x"}, turns[1]], "answer": "y"}
    (prompt,) = prompts([{"id": "i", "messages": turns}], [shot], 1, tokenizer, [10_000])
    roles = ["system\ns", "user\nu", "assistant\nx", "user\nu", "assistant\ny", "system\ns", "user\nu", "assistant\n"]
    assert tokenizer.decode(prompt.ids) == END_OF_TEXT.join(roles)


def test_a_shot_of_a_stratum_is_for_its_items_only(base):
    tokenizer = load_tokenizer(base / "model", "plain")
    shots = [{**shot, "stratum": "ab"[n % 2]} for n, shot in enumerate(SHOTS)] + SHOTS[:1]
    items = [{**each, "stratum": stratum} for each, stratum in zip(ITEMS, "abcabc", strict=True)]
    asked = [tokenizer.decode(prompt.ids) for prompt in prompts(items, shots, 2, tokenizer, [10_000] * len(items))]
    expected = {"a": ["question 0", "question 2"], "b": ["question 1", "question 0"], "c": ["question 0"]}
    for each, text in zip(items, asked, strict=True):
        assert re.findall(r"question \d", text) == expected[each["stratum"]]


def test_every_prompt_has_the_most_shots_that_leave_room(make_spec, base, tmp_path):
    """And its answer is the greedy one to that very text, up to the end of turn."""
    config = {
        "generation": {"max_new_tokens": NEW, "batch": 4, "modes": ["free"], "shots": 2},
        "template": "plain",
        "base": True,
    }
    inputs = {"model": [base], "items": [publish_items(tmp_path / "items", ITEMS, SHOTS)]}
    execute(make_spec("evaluate", "generate", "out", config, inputs), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(base / "model")
    net = AutoModelForCausalLM.from_pretrained(base / "model")
    seen = []
    for line, each in zip((tmp_path / "out/generations.jsonl").open(), ITEMS, strict=True):
        record, content = json.loads(line), each["messages"][0]["content"]
        lengths = [len(tokenizer(text_of(content, shots))["input_ids"]) for shots in range(3)]
        fitting = [shots for shots, length in enumerate(lengths) if length <= CONTEXT - NEW]
        most = max(fitting, default=0)
        assert record["shots"] == most and record["n_in"] == lengths[most]
        seen.append(most if fitting else None)
        if not fitting:
            assert record["stop"] == "room"
            continue
        ids = tokenizer(text_of(content, most), return_tensors="pt")["input_ids"]
        made = net.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=record["n_out"])
        written = made[0, ids.shape[1] :].tolist()
        assert record["output"] == tokenizer.decode([token for token in written if token])
        assert record["stop"] == ("eos" if 0 in written else "length")
    assert seen == [2, 2, 1, 1, 0, None]


def test_a_fine_tuned_model_sees_no_shots(make_spec, tmp_path):
    tuned = publish_model(tmp_path / "tuned", context=CONTEXT)
    config = {"generation": {"max_new_tokens": NEW, "modes": ["free"]}, "template": "plain", "base": False}
    inputs = {"model": [tuned], "items": [publish_items(tmp_path / "items", ITEMS[:1], SHOTS)]}
    execute(make_spec("evaluate", "generate", "out", config, inputs), tmp_path / "out")
    record = json.loads((tmp_path / "out/generations.jsonl").read_text())
    assert record["shots"] == 0 and record["n_in"] == len("user\n?\0assistant\n")
