"""The folder of a model: all that transformers' `from_pretrained` needs, and none of our code."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer
from transformers import GenerationConfig, PreTrainedModel

from trellis.documents import END_OF_TEXT
from trellis.manifest import Manifest


def export(module: PreTrainedModel, tokenizer: Manifest, folder: Path, card: str) -> None:
    """Writes the module's weights, as safetensors in the precision that they have, its configuration, and what `furnish`
    adds. How attention was computed in training is not part of a saved configuration."""
    # The cache only costs memory in training; whoever generates wants it.
    module.config.use_cache = True
    module.to("cpu").save_pretrained(folder)
    furnish(folder, tokenizer, card)


def furnish(folder: Path, tokenizer: Manifest, card: str) -> None:
    """Adds the generation config (text ends at `<|endoftext|>`), the tokenizer and the card to a model's weights and
    configuration."""
    for path in tokenizer.paths("tokenizer/"):
        shutil.copyfile(path, folder / path.name)
    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(END_OF_TEXT)
    GenerationConfig(bos_token_id=end, eos_token_id=end, pad_token_id=end).save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
