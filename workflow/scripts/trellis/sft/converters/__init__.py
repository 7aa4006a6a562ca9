"""One converter per published format: the module's `convert(row) -> list[message] | str`.

`row` is a dict as the set has it; the answer is the conversation as messages {role, content} in the form that `chat.py`
renders (roles system, user, assistant, tool; tools as JSON Schema in the system turn; calls and results as canonical
JSON), or the reason for which the row is set aside. A converter is a pure function of the row.
"""
