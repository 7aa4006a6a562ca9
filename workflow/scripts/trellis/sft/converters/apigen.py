"""APIGen (xLAM and its re-releases): a query, and the calls that answer it or words where no tool does.

Columns: query; tools, a JSON array in either of two spellings (`sft/tools.py`); answers, a JSON array of {name, arguments}.
"""

from typing import Any

from pydantic import ValidationError

from trellis.sft.conversation import Message, Shape, finished
from trellis.sft.literals import read_literal
from trellis.sft.tools import read_tools
from trellis.tool_calls import calls_json, system_turn


class Row(Shape):
    query: str
    answers: str
    tools: str


def convert(row: Any) -> list[Message] | str:
    """One question and its answer."""
    try:
        given = Row.model_validate(row)
    except ValidationError:
        return "malformed"
    try:
        tools = read_tools(read_literal(given.tools))
    except ValueError:
        return "bad_tools"
    answer = given.answers
    if answer.lstrip().startswith(("[", "{")):
        try:
            answer = calls_json(read_literal(answer), tools)
        except ValueError:
            return "bad_call"
    return finished(
        [system_turn(tools), {"role": "user", "content": given.query}, {"role": "assistant", "content": answer}]
    )
