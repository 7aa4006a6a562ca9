"""Two-turn dialogues: instructions with long answers, and parables with the choice of their moral.

Of the file that mixes instruction sets only the task types listed here are allowed; its payload fields, which come from
elsewhere, are not read.
"""

from collections.abc import Iterator

from trellis.download.archive import Archive, Raw, Row

LICENCES = {"akoksal/LongForm": "MIT"}
# The format that an automatic grader asks for, the same in every parable.
GRADER = "\nThe output should look like"


class Instruction(Row):
    task_type: str
    task_prompt: str
    task_output: str | None


class Message(Row):
    role: str
    content: str


class Parable(Row):
    input: list[Message]
    ideal: list[str]


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for native_id, row in archive.rows(member, Instruction | Parable):
            if isinstance(row, Parable):
                story = next((message.content for message in row.input if message.role == "user"), "")
                yield _raw(native_id, story.split(GRADER)[0], next(iter(row.ideal), None), "parable", None)
            elif row.task_type in LICENCES:
                yield _raw(native_id, row.task_prompt, row.task_output, row.task_type, LICENCES[row.task_type])
            else:
                archive.reject("not_allowed")


def _raw(native_id: str, prompt: str, answer: str | None, kind: str, licence: str | None) -> Raw:
    text = None if answer is None else f"User: {prompt.strip()}\n\nAssistant: {answer.strip()}"
    return Raw(native_id, text, {"type": kind}, licence)
