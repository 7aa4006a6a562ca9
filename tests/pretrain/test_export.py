"""The folder of a trained model: transformers alone computes the trainer's losses with it, and its card tells what it is."""

import json
import re
import subprocess
import sys

import pytest
import torch
import yaml
from markdown_it import MarkdownIt

from publishing import publish
from small_training import lines
from trellis.command import execute
from trellis.experiment.models import GptNeox, Llama
from trellis.experiment.pretraining import Pretraining
from trellis.manifest import Manifest, list_files
from trellis.models.build import build
from trellis.models.size import parameters
from trellis.pretrain.attention import NAME
from trellis.pretrain.card import trained_card
from trellis.pretrain.export import export
from trellis.pretrain.objective import NextTokenLoss

CONTEXT, VOCABULARY, END = 16, 300, 256
SHAPE = {"mixture": "m", "hidden_size": 16, "intermediate_size": 32, "layers": 2, "heads": 2, "parameters": 1}
RECIPE = {
    "context": CONTEXT, "batch_tokens": 8 * CONTEXT, "max_lr": 3e-2, "min_lr": 3e-3, "warmup_steps": 2,
    "precision": "float32",
}  # fmt: skip
METRICS = {
    "parameters": 9_488, "steps": 1_234, "tokens": 157_952, "training_flops": 1.2345e9, "final_loss": 3.25,
    "validation_loss": 3.4567, "bits_per_byte": 1.2346,
}  # fmt: skip
HOSTILE = (
    "| a\n---\n<script>x</script> [b](http://c) ![d](e) `f` **g** $h$ &lt; \\| _i_ ~~j~~ {{ 7 * 7 }} \u202e\x00 # k"
)
# What a stranger does with the folder, in a process that cannot import this package.
STRANGER = """
import json, sys
sys.modules["trellis"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

for folder in sys.argv[2:]:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = torch.tensor(json.load(open(sys.argv[1])))
    logits = model(rows[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    written = model.generate(rows[:1, :4], max_new_tokens=5, do_sample=False)
    ids = tokenizer("a text")["input_ids"]
    print(json.dumps([loss.item(), written.shape[1], tokenizer.decode(ids), tokenizer.eos_token_id, str(model.dtype)]))
"""


def decoder(kind: str, tied: bool):
    shape = {**SHAPE, "kind": kind, "tie_embeddings": tied}
    model = Llama(**shape, kv_heads=1) if kind == "llama" else GptNeox(**shape)
    return model.model_copy(update={"parameters": parameters(model, VOCABULARY)})


def trained(kind: str, tied: bool, rows: torch.Tensor):
    """A module after some steps of the trainer's objective, and that objective's mean loss on the rows."""
    module = build(decoder(kind, tied), VOCABULARY, CONTEXT, END, seed=0)
    objective = NextTokenLoss(module, Pretraining.model_validate(RECIPE), END, torch.device("cpu"))
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-2)
    for _ in range(10):
        (objective(rows) / rows[:, 1:].numel()).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return module, objective(rows).item() / rows[:, 1:].numel()


VARIANTS = [(kind, tied) for kind in ("llama", "gpt_neox") for tied in (True, False)]


@pytest.fixture(scope="module")
def exported(tokenizer, tmp_path_factory):
    """{variant: (folder, the trainer's loss, what a stranger's process says)}, all in one such process."""
    root = tmp_path_factory.mktemp("exported")
    rows = torch.randint(0, END, (6, CONTEXT + 1), generator=torch.Generator().manual_seed(0))
    (root / "rows.json").write_text(json.dumps(rows.tolist()))
    losses = {}
    for kind, tied in VARIANTS:
        module, losses[kind, tied] = trained(kind, tied, rows)
        export(module, Manifest.read(tokenizer), root / f"{kind}-{tied}", "# a card\n")
    folders = [root / f"{kind}-{tied}" for kind, tied in VARIANTS]
    command = [sys.executable, "-I", "-c", STRANGER, str(root / "rows.json"), *map(str, folders)]
    answer = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    said = [json.loads(line) for line in answer.stdout.splitlines()]
    return {
        variant: (folder, losses[variant], each) for variant, folder, each in zip(VARIANTS, folders, said, strict=True)
    }


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant[0]}-{'tied' if variant[1] else 'untied'}")
def test_transformers_alone_computes_the_trainers_loss(exported, variant):
    _, trainers, (loss, length, text, end, dtype) = exported[variant]
    assert 1 < trainers < 5.5  # it has learnt something, so that a wrong weight would show
    assert loss == pytest.approx(trainers, rel=1e-6)
    assert (text, end, dtype) == ("a text", END, "torch.float32") and 4 < length <= 9


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant[0]}-{'tied' if variant[1] else 'untied'}")
def test_the_folder_holds_what_a_model_needs_and_nothing_of_the_training(exported, variant):
    folder = exported[variant][0]
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "README.md"),
        *("tokenizer.json", "tokenizer_config.json"),
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["use_cache"] and config["dtype"] == "float32" and config["tie_word_embeddings"] == variant[1]
    assert config["bos_token_id"] == config["eos_token_id"] == END
    assert NAME not in (folder / "config.json").read_text() and not any("attn" in key for key in config)
    generation = json.loads((folder / "generation_config.json").read_text())
    assert (generation["eos_token_id"], generation["bos_token_id"], generation["pad_token_id"]) == (END, END, END)
    assert "use_cache" not in generation  # a cache is what `generate` has by default


def test_the_same_module_gives_the_same_bytes(tokenizer, tmp_path):
    rows = torch.zeros(2, CONTEXT + 1, dtype=torch.long)
    for name in ("one", "two"):
        export(trained("gpt_neox", False, rows)[0], Manifest.read(tokenizer), tmp_path / name, "# a card\n")
    one, two = (list_files(tmp_path / name, {}) for name in ("one", "two"))
    assert one == two and len(one) == 6


# ---------------------------------------------------------------- the card


@pytest.fixture
def write_card(make_spec, tmp_path):
    """write_card(name of the first source, its licences, model, **recipe) -> the card."""

    def write(source="alpha", licences=("CC-BY-4.0",), model=None, validation=None, **recipe) -> str:
        counts = {"granted_tokens": 100_000, "rows": 6_250, "documents": 412, "unique_documents": 103}
        entry = {**counts, "asked_tokens": 100_001, "unique_tokens": 25_003, "repeat": 4.0, "left_over_tokens": 7}
        sources = [
            {"source": source, "licences": list(licences), **entry},
            {"source": "beta", "licences": ["MIT", "unknown"], **entry, "granted_tokens": 57_952, "repeat": 0.5},
        ]
        metrics = {"context": CONTEXT, "sources": sources, "validation": []}
        mixture = publish(tmp_path / "mixture", "tokenize", "pack", metrics=metrics)
        config = {"model": model or decoder("llama", True), "vocab_size": VOCABULARY}
        config["pretraining"] = {**RECIPE, **recipe}
        spec = make_spec("pretrain", "train", "my_model", config, {"mixture": [mixture]})
        spec = spec.model_copy(update={"fingerprint": "f0" * 32})
        found = {"loss": 3.4, "bits_per_byte": 1.2}
        measured = {"sources": {source: {"loss": 3.111, "bits_per_byte": 1.0123}, "beta": found}}
        return trained_card(spec, METRICS, measured if validation is None else validation)

    return write


def parsed(card: str):
    """(front matter, [heading], [table as rows of cells], every kind of token) as a Markdown reader sees them."""
    _, front, body = card.split("---\n", 2)
    tokens = MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(body)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    tables = []
    for index, token in enumerate(tokens):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("td_open", "th_open"):
            text = "".join(child.content for child in tokens[index + 1].children)
            tables[-1][-1].append(text)
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    return yaml.safe_load(front), headings, tables, kinds


def test_a_card_tells_what_the_manifests_hold(write_card):
    card = write_card()
    front, headings, (data, recipe, evaluation, shape), _ = parsed(card)
    assert front == {"library_name": "transformers", "pipeline_tag": "text-generation"}
    assert headings == [
        "my\\_model",
        *("Model Details", "Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model"),
        *("Training Details", "Training Data", "Training Procedure", "Evaluation", "Technical Specifications"),
    ]
    assert data[1:] == [
        ["alpha", "100,000", "63.3%", "25,003", "412", "103", "4", "CC-BY-4.0"],
        ["beta", "57,952", "36.7%", "25,003", "412", "103", "0.5", "MIT, unknown"],
    ]
    assert ["max lr", "0.03"] in recipe and ["betas", "0.9, 0.95"] in recipe and ["packing", "best_fit"] in recipe
    assert evaluation[1:] == [["alpha", "3.111", "1.012"], ["beta", "3.4", "1.2"], ["all", "3.457", "1.235"]]
    assert ["hidden size", "16"] in shape and ["mixture", "m"] in shape
    for said in (
        "with 9,488 parameters, pretrained from scratch on 157,952 tokens of the mixture m.",
        "1,234 optimizer steps; 1.234e+09 FLOPs, forward and backward: 6 per token and weight of a matrix, and attention by "
        "the causal convention",
        "16.65 per parameter (50,006 of them unique)",
        f"`{'f0' * 32}`",
        "LlamaForCausalLM",
    ):
        assert said in card


def test_the_card_in_a_result_tells_what_its_manifest_holds(spec_of, tmp_path):
    made = execute(spec_of(), tmp_path / "out")
    _, _, (data, _, evaluation, _), _ = parsed(made.path("model/README.md").read_text(encoding="utf-8"))
    last = [line for line in lines(made.folder / "metrics.jsonl") if "validation" in line][-1]["validation"]
    written = [[name, found["loss"], found["bits_per_byte"]] for name, found in last["sources"].items()]
    written.append(["all", made.metrics["validation_loss"], made.metrics["bits_per_byte"]])
    assert evaluation[1:] == [[name, f"{loss:.4g}", f"{bits:.4g}"] for name, loss, bits in written]
    assert [row[0] for row in data[1:]] == ["alpha", "beta"] and data[1][1:3] == ["960", "50.0%"]
    assert made.fingerprint in made.path("model/README.md").read_text(encoding="utf-8")


def test_a_card_of_the_other_architecture_and_without_a_validation(write_card):
    card = write_card(model=decoder("gpt_neox", False), validation={})
    assert "A decoder after GPT-NeoX, " in card and "GPTNeoXForCausalLM" in card
    assert parsed(card)[2][2][1:] == [["all", "3.457", "1.235"]]


def test_a_card_says_nothing_that_differs_between_runs(write_card, tmp_path):
    card = write_card()
    assert card == write_card(
        micro_batch=1, compile="layer", log_interval=3, checkpoint_minutes=1.0, deterministic=True
    )
    assert card != write_card(weight_decay=0.2)
    assert torch.__version__ not in card and str(tmp_path) not in card and not re.search(r"20\d\d-\d\d", card)


def test_names_and_licences_are_data(write_card):
    plain, hostile = parsed(write_card()), parsed(write_card(HOSTILE, [HOSTILE, "MIT"] * 4))
    assert hostile[0] == plain[0] and hostile[1] == plain[1] and hostile[3] == plain[3]
    assert [[len(row) for row in table] for table in hostile[2]] == [[len(row) for row in table] for table in plain[2]]
    shown = " ".join(HOSTILE.split()).replace("\u202e", "⟨U+202E⟩").replace("\x00", "⟨U+0000⟩")
    assert hostile[2][0][1][0] == hostile[2][2][1][0] == shown
    assert hostile[2][0][1][-1] == ", ".join([shown, "MIT", shown, "MIT", shown]) + " and 3 more"


def test_a_name_that_is_markup_all_through_stays_one_line(write_card):
    for source in (
        "# heading",
        "---",
        "- list",
        "1. list",
        "> quote",
        "```",
        "$$",
        ":smile:",
        "@someone",
        "https://x.y",
    ):
        _, headings, tables, kinds = parsed(write_card(source))
        assert tables[0][1][0] == source and len(headings) == 10 and kinds == parsed(write_card())[3]
