"""One converter per published format: the module's `convert(row) -> list[message] | str`.

`row` is any JSON value; a row is a dict as the set has it. The answer is the conversation as messages {role, content} in
the form of `sft/conversation.py` (roles system, user, assistant, tool), or the reason for which the row is set aside.
Tools and calls follow the protocol of `tool_calls.py`; a task to answer by a schema is put as `schema_tasks` puts it.
A converter is a pure function of the row.

| reason | what is set aside |
|---|---|
| malformed | not the shape of the set: a missing column, a turn without text |
| other_role | a role that the set should not have |
| empty, bad_order | a conversation or turn without content; turns that do not alternate, or that end without an answer |
| bad_tools | a list of tools that is missing or that cannot be said as JSON Schema |
| bad_call | a call that cannot be read, to a tool that was not offered or with a parameter that it does not have |
| bad_schema | a task whose schema is missing or invalid |
| bad_json, schema_invalid | an answer to such a task that is no JSON, or that does not fit its schema |
"""
