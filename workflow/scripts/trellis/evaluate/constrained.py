"""Constrained decoding: at every step a row keeps only the tokens after which its answer can still fit the item's schema.

llguidance compiles a schema to a grammar and says which tokens may come next. Answers have no white space between tokens and
properties in the schema's order, as the gold has; the end of turn is allowed where the answer is complete, and nowhere else.
oneOf is taken as anyOf where llguidance cannot prove that its branches exclude each other.
"""

import json
import math
from decimal import Decimal
from typing import Any

import torch
from llguidance import LLMatcher, LLParserLimits
from llguidance.hf import from_tokenizer
from transformers import LogitsProcessor, PreTrainedTokenizerFast

OPTIONS = {"whitespace_flexible": False, "coerce_one_of": True}
# Work is bounded by llguidance's fuel, which unlike seconds is the same everywhere: tens of milliseconds to compile, or for
# a mask. Only the lexer's memory is cut, from 250,000 states of 1 to 2 kB a row; a schema takes some hundreds.
LIMITS = LLParserLimits(max_lexer_states=20_000, verbose_errors=False)
# What fuel does not count: for `multipleOf` llguidance goes through the remainders, 100,000 in two seconds.
MOST_REMAINDERS = 100_000


class Grammars:
    """Compiles schemas for one tokenizer and a model with `vocab_size` rows in its embedding; those beyond the tokenizer
    are never allowed."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocab_size: int) -> None:
        self.tokenizer = from_tokenizer(tokenizer, n_vocab=vocab_size)

    def compile(self, schema: Any) -> LLMatcher | None:
        """A matcher at the beginning of an answer; None for a schema that llguidance does not support, or not within LIMITS."""
        if remainders(schema) > MOST_REMAINDERS:
            return None
        try:
            # The overrides are stronger than options that a schema might bring along.
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=OPTIONS)
        except (ValueError, RecursionError):
            return None
        matcher = LLMatcher(self.tokenizer, grammar, log_level=0, limits=LIMITS)
        return None if matcher.is_error() else matcher


def remainders(schema: Any) -> int:
    """The least common multiple of every `multipleOf` in a schema, in units of their last decimal place."""
    steps, waiting = [], [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and type(step := node.get("multipleOf")) in (int, float) and step > 0:
            steps.append(Decimal(str(step)))
        waiting += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    places = max((-step.as_tuple().exponent for step in steps), default=0)
    return math.lcm(*(int(step.scaleb(max(places, 0))) for step in steps))


class Constraint(LogitsProcessor):
    """Holds the rows of one call of `generate` to their matchers. A matcher that runs out of fuel on the way allows nothing
    but the end; `is_error` of it tells."""

    def __init__(self, matchers: list[LLMatcher], end: int) -> None:
        self.matchers, self.end = matchers, end
        self.running: list[int] | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [rows, vocabulary], -inf where a token is not allowed; an ended row is left as it is."""
        if self.running is None:
            self.running = list(range(len(self.matchers)))
        else:
            last = input_ids[:, -1].tolist()
            self.running = [row for row in self.running if last[row] != self.end]
            for row in self.running:
                self.matchers[row].consume_token(last[row])
        if not self.running:
            return scores
        masks = bytearray(b"".join(self.matchers[row].compute_bitmask() for row in self.running))
        packed = torch.frombuffer(masks, dtype=torch.uint8).view(len(self.running), -1, 1).to(scores.device)
        bits = torch.arange(8, dtype=torch.uint8, device=scores.device)
        barred = ((packed >> bits) & 1).flatten(1)[:, : scores.shape[1]] == 0
        if len(self.running) == len(scores):
            return scores.masked_fill_(barred, -torch.inf)
        scores[self.running] = scores[self.running].masked_fill_(barred, -torch.inf)
        return scores
