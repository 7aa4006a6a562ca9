"""Greedy decoding of batches with transformers' generate, free or held to the items' schemas."""

import time
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList, PreTrainedTokenizerFast

from trellis.evaluate.constrained import Constraint, Grammars
from trellis.evaluate.prompting import Prompt

Answer = dict[str, Any]


class Decoder:
    """A model that answers batches of prompts: {id, output, n_out, stop} each, `stop` being "eos", "length" or "grammar".
    `tokens` and `seconds` count what was decoded, by mode."""

    def __init__(
        self,
        folder: Path,
        tokenizer: PreTrainedTokenizerFast,
        device: torch.device,
        max_new_tokens: int,
        dtype: torch.dtype,
    ) -> None:
        self.tokenizer, self.end = tokenizer, tokenizer.eos_token_id
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)
        self.model = model.to(device).eval()
        # In place of the model's own: no penalty or temperature of its makers decodes, and keys and values are always cached.
        self.model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.end,
            pad_token_id=self.end,
            use_cache=True,
        )
        self.context: int = model.config.max_position_embeddings
        self.tokens: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    @cached_property
    def grammars(self) -> Grammars:
        return Grammars(self.tokenizer, self.model.config.vocab_size)

    def free(self, batch: list[Prompt]) -> list[Answer]:
        """Whatever the model writes."""
        begin = time.monotonic()
        return self._counted("free", begin, self._generate(batch))

    def constrained(self, batch: list[Prompt], schemas: dict[str, Any]) -> list[Answer]:
        """What it writes within the schemas, by item; where a schema cannot be compiled, or followed to the end, the answer
        is empty and its stop is "grammar"."""
        begin = time.monotonic()
        matchers = {prompt.id: self.grammars.compile(schemas[prompt.id]) for prompt in batch}
        compiled = {key: matcher for key, matcher in matchers.items() if matcher is not None}
        made = []
        if compiled:
            constraint = Constraint(list(compiled.values()), self.end)
            made = self._generate([prompt for prompt in batch if prompt.id in compiled], constraint)
        answers = {answer["id"]: answer for answer in made if not compiled[answer["id"]].is_error()}
        nothing = {"output": "", "n_out": 0, "stop": "grammar"}
        return self._counted(
            "constrained", begin, [answers.get(prompt.id, {"id": prompt.id, **nothing}) for prompt in batch]
        )

    def _counted(self, mode: str, begin: float, answers: list[Answer]) -> list[Answer]:
        self.tokens[mode] += sum(answer["n_out"] for answer in answers)
        self.seconds[mode] += time.monotonic() - begin
        return answers

    @torch.inference_mode()
    def _generate(self, batch: list[Prompt], *processors: Constraint) -> list[Answer]:
        longest = max(map(len, batch))
        ids = torch.tensor([[self.end] * (longest - len(prompt)) + prompt.ids for prompt in batch])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in batch])
        made = self.model.generate(
            input_ids=ids.to(self.model.device),
            attention_mask=mask.to(self.model.device),
            logits_processor=LogitsProcessorList(processors),
        )[:, longest:].tolist()
        return [self.read(prompt, tokens) for prompt, tokens in zip(batch, made, strict=True)]

    def read(self, prompt: Prompt, tokens: list[int]) -> Answer:
        """The answer in a row of new tokens, up to the end of turn; what else is special stays, since the model wrote it."""
        ended = self.end in tokens
        tokens = tokens[: tokens.index(self.end)] if ended else tokens
        text = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return {"id": prompt.id, "output": text, "n_out": len(tokens) + ended, "stop": "eos" if ended else "length"}
