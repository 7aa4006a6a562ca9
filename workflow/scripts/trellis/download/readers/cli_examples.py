"""Command-line how-tos: what is wanted, the command that does it, and the JSON that it answers.

A member is a reStructuredText file of one or more examples, each under a line in bold. Only examples with a command and
an answer that parses as JSON become documents; the others are counted as `no_json_output`.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from trellis.download.archive import Archive, Raw

TITLE = re.compile(r"^\*\*(.+?)\*\*:?\s*$", re.MULTILINE)
NUMBERED = re.compile(r"^Example \d+: *")
LINK = re.compile(r"`([^`<]+?)\s*<[^>`]*>`_{1,2}")
READ_MORE = re.compile(r"^(For more information|See also)\b")


def read(archive: Archive) -> Iterator[Raw]:
    for member in archive.members:
        text = archive.text(member)
        if text is None:
            continue
        _, *pieces = TITLE.split(text.replace("\r\n", "\n"))
        if not pieces:
            archive.reject("malformed")
        for number, (title, body) in enumerate(zip(pieces[::2], pieces[1::2], strict=True), start=1):
            document = _render(title, body)
            if document is None:
                archive.reject("no_json_output")
            else:
                yield Raw(f"{member}:{number}", document, {"command": "/".join(member.split("/")[-2:])[:-4]})


@dataclass
class Block:
    """A paragraph, or the run of indented lines that follows one."""

    literal: bool
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return textwrap.dedent("\n".join(self.lines)).strip()


def _render(title: str, body: str) -> str | None:
    """The example as Markdown, up to its first answer; None when it has no command or no JSON answer."""
    parts, commanded, answer_next = [f"# {_plain(NUMBERED.sub('', title))}"], False, False
    for block in _blocks(body):
        if block.literal and answer_next:
            if not commanded or not _is_json(block.text):
                return None
            return "\n\n".join([*parts, "Output:", f"```json\n{block.text}\n```"])
        if block.literal:
            parts.append(f"```\n{block.text}\n```")
            commanded = commanded or block.text.startswith("aws ")
            continue
        paragraph = " ".join(block.text.split())
        answer_next = paragraph.endswith("::") and "output" in paragraph.lower()
        if not answer_next and not READ_MORE.match(paragraph) and paragraph not in ("Command::", "::"):
            parts.append(_plain(re.sub(r"\s*::$", ":", paragraph)).replace(".:", "."))
    return None


def _blocks(body: str) -> Iterator[Block]:
    block = Block(literal=False)
    for line in body.expandtabs(4).splitlines():
        literal = line.startswith(" ")
        blank = not line.strip()
        if not blank and literal != block.literal:
            yield from [block] if block.text else []
            block = Block(literal)
        elif blank and not block.literal:
            yield from [block] if block.text else []
            block = Block(literal=False)
        block.lines.append(line)
    yield from [block] if block.text else []


def _plain(markup: str) -> str:
    return LINK.sub(r"\1", markup).replace("``", "`").strip()


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False
