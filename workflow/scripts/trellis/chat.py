"""The chat template that supervised fine-tuning and evaluation share, and the one spelling of a JSON answer.

A turn is its role on a line of its own, the content, and the end-of-text token: plain text that every tokenizer has, so
no embedding is added and no model starts with untrained rows. The generation marks tell TRL which tokens are the
assistant's, its end of turn among them: a model that is not trained to stop does not stop.
"""

import json
from typing import Any

from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError

# Content cannot end a turn: a space takes the place of the token's text, so that what stood around it does not form it anew.
TEMPLATE = """\
{%- for message in messages -%}
{%- set content = message['content'] | replace(eos_token, ' ') -%}
{{- message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- content + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- content + eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'assistant\\n' -}}{%- endif -%}
"""


def attach(tokenizer: Any) -> None:
    """Gives a transformers tokenizer the template. Raises TrellisError when its end-of-text token is another."""
    if tokenizer.eos_token != END_OF_TEXT:
        raise TrellisError(
            f"the tokenizer ends text with {tokenizer.eos_token!r}; the chat template needs {END_OF_TEXT}"
        )
    tokenizer.chat_template = TEMPLATE


def answer_json(value: Any) -> str:
    """How an answer is spelt in gold, training and prompts: the schema's property order, no spaces, no NaN."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
