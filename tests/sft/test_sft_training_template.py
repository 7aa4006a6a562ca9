"""Both templates: where new rows of the embedding begin, that every row is learnt, and a model that speaks alone."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from small_models import END, publish_model
from small_tuning import publish_base, publish_conversations, tuning
from trellis.command import execute
from trellis.errors import TrellisError
from trellis.experiment.sft import CHATML_TOKENS
from trellis.sft.embedding import start_at_mean
from trellis.sft.trainer import Trainer

END_OF_TURN = {"plain": "<|endoftext|>", "chatml": "<|im_end|>"}
EMBEDDING = {"llama": "model.embed_tokens.weight", "gpt_neox": "gpt_neox.embed_in.weight"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {kind: publish_base(folder / kind, kind) for kind in EMBEDDING}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return publish_conversations(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(("kind", "template"), [("llama", "chatml"), ("gpt_neox", "chatml"), ("llama", "plain")])
def test_before_the_first_step_only_the_rows_of_chatml_have_moved_to_the_mean(
    make_spec, bases, data, tmp_path, monkeypatch, kind, template
):
    begun = []

    def begin(self, name):
        begun.append(self.model)
        raise InterruptedError

    monkeypatch.setattr(Trainer, "fit", begin)
    with pytest.raises(InterruptedError):
        execute(tuning(make_spec, bases[kind], data, template), tmp_path / "out")
    model, base = begun[0], AutoModelForCausalLM.from_pretrained(bases[kind] / "model")
    tokenizer = AutoTokenizer.from_pretrained(bases[kind] / "model")
    new = tokenizer.convert_tokens_to_ids(list(CHATML_TOKENS))
    heads = [
        (now.weight.data, before.weight.data)
        for now, before in (
            (model.get_input_embeddings(), base.get_input_embeddings()),
            (model.get_output_embeddings(), base.get_output_embeddings()),
        )
    ]
    for now, before in heads if template == "chatml" else ():
        # They are the last two tokens; the rows after them belong to none.
        assert len(tokenizer) == max(new) + 1 < len(before)
        mean = before[: min(new)].mean(0)
        assert not torch.allclose(before[new], mean.expand(2, -1), atol=0.1)
        torch.testing.assert_close(now[new], mean.expand(2, -1))
        before[new] = now[new]
    weights = model.state_dict()
    assert weights.keys() == base.state_dict().keys()
    for name, weight in base.state_dict().items():
        assert torch.equal(weights[name], weight), name


def test_a_tied_embedding_starts_at_its_mean_as_well(bases):
    tokenizer = AutoTokenizer.from_pretrained(bases["llama"] / "model")
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(**size, vocab_size=264, tie_word_embeddings=True))
    before, new = model.lm_head.weight.detach().clone(), tokenizer.convert_tokens_to_ids(list(CHATML_TOKENS))
    start_at_mean(model, tokenizer, CHATML_TOKENS)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    torch.testing.assert_close(model.lm_head.weight[new], before[: min(new)].mean(0).expand(2, -1))
    assert sorted((model.lm_head.weight != before).any(1).nonzero().flatten().tolist()) == sorted(new)


def test_a_tokenizer_without_the_tokens_of_chatml_is_refused(make_spec, data, tmp_path):
    base = publish_model(tmp_path / "base", context=160, template=None)
    with pytest.raises(
        TrellisError, match="has no <.im_start.>; the chatml template needs it in tokenizer.special_tok"
    ):
        execute(tuning(make_spec, base, data, "chatml"), tmp_path / "out")


ALONE = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = sys.argv[1]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
prompt = tokenizer.apply_chat_template(
    [{"role": "user", "content": "na na 9?"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
written = model.generate(**prompt, do_sample=False, max_new_tokens=40)[0, prompt["input_ids"].shape[1] :]
sys.stdout.write(tokenizer.decode(written))
assert not [name for name in sys.modules if name.split(".")[0] in ("trellis", "trl")]
"""


@pytest.mark.parametrize("template", END_OF_TURN)
def test_a_fine_tuned_model_generates_through_its_own_template_without_trellis(
    make_spec, bases, data, tmp_path, template
):
    made = execute(tuning(make_spec, bases["llama"], data, template, epochs=40), tmp_path / "out")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path / "out/model")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=clean,
    ).stdout
    # It has learnt what its answers look like, and to end its turn: after fewer tokens than it might have written.
    assert answer.endswith(END_OF_TURN[template]) and "batman" in answer and len(answer) < 40
    generation = json.loads((tmp_path / "out/model/generation_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out/model")
    assert generation["eos_token_id"] == tokenizer.convert_tokens_to_ids(END_OF_TURN[template])
    assert generation["pad_token_id"] == tokenizer.pad_token_id == END
    assert made.metrics["template"]["name"] == template
    assert made.metrics["final_loss"] < made.metrics["first_loss"] / 4


@pytest.mark.parametrize("kind", EMBEDDING)
def test_the_token_that_pads_and_ends_turns_is_learnt_and_stays_learnable(make_spec, bases, data, tmp_path, kind):
    """The base model's configuration calls it padding, which transformers' Llama learns no embedding for."""
    base = load_file(bases[kind] / "model/model.safetensors")
    assert json.loads((bases[kind] / "model/config.json").read_text())["pad_token_id"] == END
    execute(tuning(make_spec, bases[kind], data), tmp_path / "out")
    trained = load_file(tmp_path / "out/model/model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out/model")
    assert model.config.pad_token_id is None and model.config.use_cache
    embedding, name = model.get_input_embeddings(), EMBEDDING[kind]
    # Without weight decay, only a gradient moves a row: none has a token that no conversation holds.
    assert not torch.equal(trained[name][END], base[name][END])
    assert torch.equal(trained[name][-1], base[name][-1])
    assert torch.equal(embedding.weight[END], trained[name][END])
    ids = torch.tensor([[5, END, 7]])
    model(ids, labels=ids).loss.backward()
    assert embedding.weight.grad[END].abs().sum() > 0
