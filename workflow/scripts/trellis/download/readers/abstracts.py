"""Academic prose: journal abstracts under their titles, and findings of papers under the question that they answer."""

import re
from collections.abc import Iterator

from trellis.download.archive import Archive, Raw, Row

NO_ANSWER = "N-A"
PREFIXED = re.compile(r"^(claim|question):\s*(.*)$", re.MULTILINE)


class Message(Row):
    role: str
    content: str


class Sample(Row):
    """A title task: the abstract and its title. A consensus task: claims with a question and their summary."""

    input: list[Message]
    ideal: str


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        for native_id, row in archive.rows(member, Sample):
            content = next((message.content for message in row.input if message.role == "user"), None)
            yield Raw(native_id, content and _render(content, row.ideal))


def _render(content: str, ideal: str) -> str:
    parts = PREFIXED.findall(content)
    question = next((text for kind, text in parts if kind == "question"), None)
    if question is None:
        return f"# {ideal.strip()}\n\n{content}"
    claims = [f"- {text}" for kind, text in parts if kind == "claim"]
    summary = [] if ideal.endswith(NO_ANSWER) else ["", ideal]
    return "\n".join([f"# {question}", "", *claims, *summary])
