"""Function calling in four formats: Python calls in brackets, tags with JSON inside, columns of JSON, and two texts."""

import json
from collections.abc import Callable
from random import Random

import pyarrow as pa

from hub_repos.files import Row, Rows, make_rows, parquet, random_uuid
from hub_repos.text import ADJECTIVES, NOUNS, PLACES, identifier, sentence


def toolace(scale: float) -> dict[str, bytes]:
    def function(r: Random, number: int) -> Row:
        # Names with spaces and dots occur, and objects are of type "dict".
        name = [identifier(r), f"{r.choice(ADJECTIVES)} {r.choice(NOUNS)}".title(), f"v1.{identifier(r)}"][number % 3]
        properties = {
            r.choice(NOUNS): {"type": kind, "description": sentence(r, "software")}
            for kind in ("string", "int", "bool", "array", "dict", "float")
        }
        parameters = {"type": "dict", "properties": properties, "required": list(properties)[:1]}
        return {"name": name, "description": sentence(r, "software"), "parameters": parameters, "required": None}

    def call(r: Random, made: Row) -> str:
        values = {
            "string": f'"{r.choice(PLACES)}, ({r.choice(NOUNS)}) = \\"{r.choice(NOUNS)}\\""',
            "int": str(r.randint(-9, 99)),
            "bool": r.choice(["True", "False", "true"]),
            "array": f'["{r.choice(NOUNS)}", "{r.choice(PLACES)}"]',
            "dict": f'{{"{r.choice(NOUNS)}": {r.randint(1, 9)}, "{r.choice(NOUNS)}": None}}',
            "float": f"{r.randint(1, 99) / 8}",
        }
        given = [f"{name}={values[about['type']]}" for name, about in made["parameters"]["properties"].items()]
        return f"{made['name']}({', '.join(given[: r.randint(1, len(given))])})"

    def conversation(r: Random, number: int) -> Row:
        functions = [function(r, number + other) for other in range(r.randint(1, 3))]
        system = "Call the functions below where they help. The functions, as JSON:\n" + json.dumps(functions)
        system += "\nA call is written as [name(argument=value, ...)], and nothing stands beside it."
        calls = f"[{', '.join(call(r, made) for made in functions[: number % 2 + 1])}]"
        turns = [("user", f"{sentence(r, 'software')} What does the {r.choice(NOUNS)} say?"), ("assistant", calls)]
        if number % 4:
            results = [{"name": functions[0]["name"], "results": {r.choice(NOUNS): r.randint(1, 99)}}]
            turns += [("tool", json.dumps(results)), ("assistant", sentence(r, "software"))]
        if number % 4 == 3:
            turns += [("user", f"And {r.choice(PLACES)}?"), ("assistant", f"[{call(r, functions[-1])}]")]
        return {"system": system, "conversations": [{"from": who, "value": text} for who, text in turns]}

    def asked(answer: str | None) -> Row:
        return {"conversations": [{"from": "user", "value": "Please call it."}, {"from": "assistant", "value": answer}]}

    bad = [
        asked("[no_such_end(a=1"),
        asked("[f(a=__import__('os'))]"),
        asked(None),
        {"conversations": []},
        {"system": None},
        {"system": "No functions here."},
    ]
    return {"data.json": _array(make_rows("toolace", 200 * scale, conversation, bad))}


def hermes(scale: float) -> dict[str, bytes]:
    def tool(r: Random) -> Row:
        properties = {f"{r.choice(ADJECTIVES)}_{r.choice(NOUNS)}": {"type": "string"} for _ in range(r.randint(1, 3))}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        about = {"name": identifier(r), "description": sentence(r, "software"), "parameters": schema}
        return {"type": "function", "function": about}

    def tagged(r: Random, tools: Rows, number: int) -> str:
        calls = []
        for each in tools[: number % 2 + 1]:
            arguments = {
                name: f"{r.choice(PLACES)}'s {r.randint(1, 99)}" for name in each["function"]["parameters"]["required"]
            }
            made = {"name": each["function"]["name"], "arguments": arguments}
            # Some of the set's calls are Python literals, not JSON.
            calls.append(f"<tool_call>\n{made if number % 5 == 4 else json.dumps(made)}\n</tool_call>")
        return "\n".join(calls)

    def calling(turns: int) -> Callable[[Random, int], Row]:
        def make(r: Random, number: int) -> Row:
            tools = [tool(r) for _ in range(r.randint(1, 3))]
            system = f"Functions are listed in tags. <tools> {json.dumps(tools)} </tools> "
            system += "A call is JSON in tags: <tool_call>\n{'name': <name>, 'arguments': <arguments>}\n</tool_call>"
            said = [("human", f"{sentence(r, 'business')} Please see to the {r.choice(NOUNS)}.")]
            said += [("gpt", ("I will.\n" if number % 7 == 6 else "") + tagged(r, tools, number))]
            if turns > 1:
                result = {"name": tools[0]["function"]["name"], "content": {r.choice(NOUNS): r.randint(1, 999)}}
                said += [
                    ("tool", f"<tool_response>\n{json.dumps(result)}\n</tool_response>"),
                    ("gpt", sentence(r, "business")),
                ]
            return _row(r, system, said, "A category") | {"tools": json.dumps(tools)}

        return make

    def json_mode(r: Random, number: int) -> Row:
        names = [f"{r.choice(ADJECTIVES)}_{r.choice(NOUNS)}" for _ in range(r.randint(2, 5))]
        kinds = {name: r.choice(["string", "integer"]) for name in names}
        schema = {
            "type": "object",
            "properties": {name: {"type": kind} for name, kind in kinds.items()},
            "required": names,
        }
        answer = {name: r.choice(PLACES) if kind == "string" else r.randint(1, 99) for name, kind in kinds.items()}
        system = f"Answer with JSON that keeps to this schema:\n<schema>\n{json.dumps(schema)}\n</schema>"
        said = [("human", sentence(r, "business")), ("gpt", json.dumps(answer, indent=number % 3 or None))]
        return _row(r, system, said, "JSON") | {"schema": json.dumps(schema)}

    def answered(text: str | None) -> Row:
        return {"conversations": [{"from": "human", "value": "Please."}, {"from": "gpt", "value": text}]}

    bad = [
        answered('<tool_call>\n{"name": \n</tool_call>'),
        answered(None),
        {"conversations": None},
        {"conversations": []},
    ]
    makers = {
        "func-calling-singleturn.json": calling(1),
        "func-calling.json": calling(2),
        "glaive-function-calling-5k.json": calling(2),
        "json-mode-agentic.json": json_mode,
        "json-mode-singleturn.json": json_mode,
    }
    return {path: _array(make_rows(path, 50 * scale, make, bad)) for path, make in makers.items()}


def apigen(scale: float) -> dict[str, bytes]:
    def example(r: Random, number: int) -> Row:
        name, argument, other = identifier(r), r.choice(NOUNS), f"{r.choice(ADJECTIVES)}_{r.choice(NOUNS)}"
        place, count = r.choice(PLACES), r.randint(1, 99)
        about = {"description": sentence(r, "software")}
        # Two spellings of a tool stand side by side in the set.
        if number % 2:
            parameters = {argument: {"type": "str", **about}, other: {"type": "int, optional", **about, "default": 3}}
            tools = [{"name": name, **about, "parameters": parameters}]
        else:
            properties = {argument: {"type": "string", **about}, other: {"type": "integer", **about}}
            schema = {"type": "object", "properties": properties, "required": [argument]}
            tools = [{"type": "function", "function": {"name": name, **about, "parameters": schema}}]
        calls = [
            {"name": name, "arguments": {argument: f"{place} {index}", other: count}} for index in range(number % 3 + 1)
        ]
        query = f"{sentence(r, 'software')} Call it {len(calls)} times for {place} with {count}."
        return {
            **{"func_name": name, "func_desc": about["description"], "tools": json.dumps(tools), "query": query},
            **{"answers": json.dumps(calls), "model_name": "a-generator", "hash_id": f"{r.getrandbits(128):032x}"},
        }

    bad = [{"answers": None}, {"answers": "[{"}, {"tools": "none"}, {"query": None}, {"answers": "[]"}]
    columns = ["func_name", "func_desc", "tools", "query", "answers", "model_name", "hash_id"]
    path = "data/train-00000-of-00001.parquet"
    return {path: parquet(make_rows(path, 200 * scale, example, bad), dict.fromkeys(columns, pa.string()))}


def glaive(scale: float) -> dict[str, bytes]:
    def conversation(r: Random, number: int) -> Row:
        name, argument, place = identifier(r), r.choice(NOUNS), r.choice(PLACES)
        parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
        tool = {"name": name, "description": sentence(r, "business"), "parameters": parameters}
        system = "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
        # Arguments are JSON in single quotes, inside JSON.
        arguments = json.dumps({argument: f"{place} {r.randint(1, 99)}"})
        said = [("USER", f"{sentence(r, 'business')} What of {place}?")]
        said += [("ASSISTANT", f'<functioncall> {{"name": "{name}", "arguments": \'{arguments}\'}} <|endoftext|>')]
        said += [("FUNCTION RESPONSE", json.dumps({r.choice(NOUNS): r.randint(1, 99)}))]
        said += [("ASSISTANT", f"{sentence(r, 'business')} <|endoftext|>")]
        chat = "\n\n\n".join(f"{who}: {text}" for who, text in (said if number % 3 else said[::3]))
        return {"system": system + json.dumps(tool, indent=4) if number % 3 else "SYSTEM: Be helpful.", "chat": chat}

    bad = [{"chat": None}, {"chat": ""}, {"chat": "USER: Now?\n\n\nASSISTANT: <functioncall> now"}, {"system": "{"}]
    path = "glaive-function-calling-v2.json"
    return {path: _array(make_rows(path, 100 * scale, conversation, bad))}


def _row(r: Random, system: str, said: list[tuple[str, str]], category: str) -> Row:
    conversation = [{"from": who, "value": text} for who, text in [("system", system), *said]]
    return {"id": random_uuid(r), "conversations": conversation, "category": category, "task": sentence(r, "business")}


def _array(rows: Rows) -> bytes:
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()
