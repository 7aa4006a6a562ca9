"""Rows in the shape of the published SFT sets, the files that hold them, and how their conversion is looked at."""

import importlib
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from publishing import publish
from trellis.tool_calls import INSTRUCTION

# An evaluation text, which no conversation may give away.
QUESTION = "Which of the eleven harbour pilots on duty last Tuesday guided more than three tankers through the strait?"

TIDE = {"type": "object", "properties": {"port": {"type": "string"}, "days": {"type": "integer"}}, "required": ["port"]}
OPENAI = [{"type": "function", "function": {"name": "tide", "description": "High water.", "parameters": TIDE}}]


XLAM = [
    {
        "name": "berths",
        "description": "Free berths.",
        "parameters": {
            "harbour": {"description": "Its name.", "type": "str"},
            "lengths": {"description": "In metres.", "type": "List[float]"},
            "tag": {"description": "A mark.", "type": "str, optional"},
            "limit": {"description": "At most.", "type": "int", "default": 5},
        },
    }
]
ACE = [
    {
        "name": "Tide Table API",
        "description": "High water [local time].",
        "parameters": {
            "type": "dict",
            "properties": {
                "port": {"type": "string", "description": "A port."},
                "port-id": {"type": "int"},
                "range": {"type": "tuple", "items": {"type": "float"}},
                "class": {"type": "dict", "properties": {"kind": {"type": "any"}}, "required": None},
                "exact": {"type": "boolean", "default": False},
            },
            "required": ["port"],
        },
        "required": None,
    },
    {"name": "/v1/harbour.find (old)", "description": "", "parameters": {"type": "dict", "properties": {}}},
    {"name": "/v1/harbour.find", "description": "", "parameters": {"type": "dict", "properties": {}}},
]
PREAMBLE = "You compose calls [func(name=value)]. The functions:\n{}. \nPut it as [func1(a=b), func2()]\nNo other text."
SAID = (
    "Functions are within <tools> </tools> tags.\n<tools>\n{}\n</tools>\n"
    "Call those in <tools></tools> only: <tool_call>\n{{...}}\n</tool_call>"
)
BOAT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "hull": {"type": "object", "properties": {"length": {"type": "number"}, "of": {"type": "string"}}},
    },
    "required": ["name"],
}
JSON_MODE = "Answer in JSON that fits:\n<schema>\n{}\n</schema>\n"
# Of each format, the three texts of a row: two that the answer rests on, and the answer.
GOOD = {
    "apigen": ["Tide?", json.dumps(OPENAI), '[{"name": "tide", "arguments": {"port": "Brest", "days": 2}}]'],
    "hermes": [SAID.format(OPENAI), "Tide?", "<tool_call>\n{'name': 'tide', 'arguments': {'days': 2}}\n</tool_call>"],
    "messages": ["Be brief.", "Tide?", "At noon."],
    "toolace": [PREAMBLE.format(json.dumps(ACE)), "Tide?", '[Tide Table API(port="Brest", range=(1, 2))]'],
}


def convert(converter, row):
    """What the converter makes of the row."""
    return importlib.import_module(f"trellis.sft.converters.{converter}").convert(row)


def offered(messages):
    """The tools that the system turn lists."""
    line, tools = messages[0]["content"].split("\n")
    assert messages[0]["role"] == "system" and line == INSTRUCTION
    return json.loads(tools)


def spoken(messages):
    """(role, content) of what follows the system turn."""
    return [(message["role"], message["content"]) for message in messages[1:]]


def row_of(converter, one, two, answer):
    """A row of three texts, as in GOOD."""
    if converter == "apigen":
        return {"query": one, "tools": two, "answers": answer}
    if converter == "toolace":
        return {"system": one, "conversations": turns("from", "value", user=two, assistant=answer)}
    if converter == "hermes":
        return {"conversations": turns("from", "value", system=one, human=two, gpt=answer)}
    return {"messages": turns("role", "content", system=one, user=two, assistant=answer)}


def turns(role, content, **said):
    return [{role: who, content: text} for who, text in said.items()]


def parquet(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=4)
    return buffer.getvalue()


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def array(rows):
    return json.dumps(rows, indent=2).encode()


def fetched(folder: Path, repo: str, files: dict[str, bytes]) -> Path:
    """Publishes files of a repository as download_hub does; returns the result's folder."""
    for path, content in files.items():
        target = folder / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return publish(folder, "download", "hub", "hub", {"repo": repo, "files": len(files)})
