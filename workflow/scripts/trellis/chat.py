"""The chat template that supervised fine-tuning and evaluation share, and the one spelling of a JSON answer.

A turn is its role on a line of its own, the content, and the token that ends it. `plain` ends turns with the end of text:
every tokenizer has it, so no embedding is added and no model starts with untrained rows. `chatml` puts turns between
`<|im_start|>` and `<|im_end|>`. The generation marks tell TRL which tokens are the assistant's, its end of turn among them: a
model that is not trained to stop does not stop.
"""

import json
from typing import Any

from trellis.documents import END_OF_TEXT
from trellis.errors import TrellisError
from trellis.experiment.sft import CHATML_TOKENS

# By template: what stands before a role, what ends a turn, and what follows it.
MARKS = {"plain": ("", END_OF_TEXT, ""), "chatml": (*CHATML_TOKENS, "\\n")}
# Content cannot end a turn: a space takes the place of a token's text, so that what stood around it does not form it anew.
TEMPLATE = """\
{{%- for message in messages -%}}
{{%- set content = message['content']{silenced} -%}}
{{{{- '{begin}' + message['role'] + '\\n' -}}}}
{{%- if message['role'] == 'assistant' -%}}
{{%- generation -%}}{{{{- content + '{end}' -}}}}{{%- endgeneration -%}}
{{%- else -%}}
{{{{- content + '{end}' -}}}}
{{%- endif -%}}
{{{{- '{after}' -}}}}
{{%- endfor -%}}
{{%- if add_generation_prompt -%}}{{{{- '{begin}assistant\\n' -}}}}{{%- endif -%}}
"""


def template(name: str) -> str:
    """The Jinja template, `plain` or `chatml`."""
    begin, end, after = MARKS[name]
    silenced = "".join(f" | replace('{token}', ' ')" for token in (END_OF_TEXT, *CHATML_TOKENS))
    return TEMPLATE.format(silenced=silenced, begin=begin, end=end, after=after)


def attach(tokenizer: Any, name: str = "plain") -> None:
    """Gives a transformers tokenizer the template `plain` or `chatml`, and its end of turn as `eos_token`. Raises
    TrellisError when the tokenizer lacks the tokens that this takes."""
    if tokenizer.eos_token not in (END_OF_TEXT, MARKS[name][1]):
        raise TrellisError(
            f"the tokenizer ends text with {tokenizer.eos_token!r}; the chat template needs {END_OF_TEXT}"
        )
    known = tokenizer.get_vocab()
    for token in CHATML_TOKENS if name == "chatml" else ():
        if token not in known:
            raise TrellisError(
                f"the tokenizer has no {token}; the chatml template needs it in tokenizer.special_tokens"
            )
    tokenizer.eos_token = MARKS[name][1]
    tokenizer.chat_template = template(name)


def answer_json(value: Any) -> str:
    """How an answer is spelt in gold, training and prompts: the schema's property order, no spaces, no NaN."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
