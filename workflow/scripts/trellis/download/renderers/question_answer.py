"""A question and its best answer: Stack Exchange, from HTML to text.

The best answer has the highest `pm_score` (of several the accepted one, then the oldest); `low_score` where that is under
3. Meta has what the licence asks to be named: the author, and where the question and the answer stand.
"""

from typing import Any
from urllib.parse import urlsplit

from trellis.download.archive import Raw, Row
from trellis.download.markup import text_of
from trellis.download.renderers import scalars

LOWEST_SCORE = 3


class Answer(Row):
    answer_id: int
    text: str
    pm_score: int
    selected: bool | None = None
    author: Any = None
    author_profile: Any = None


class Shape(Row):
    question: str
    answers: list[Answer]
    qid: Any = None
    metadata: list[Any] | None = None


def render(native_id: str, row: Shape) -> Raw | str:
    best = min(row.answers, key=lambda each: (-each.pm_score, not each.selected, each.answer_id), default=None)
    if best is None or best.pm_score < LOWEST_SCORE:
        return "low_score"
    question, answer = text_of(row.question), text_of(best.text)
    if not question or not answer:
        return "incomplete"
    address, site = _addresses(row.metadata or [])
    meta = scalars(
        qid=row.qid,
        pm_score=best.pm_score,
        author=best.author,
        author_profile=best.author_profile,
        question_url=address,
        answer_url=f"{site}/a/{best.answer_id}" if site else None,
    )
    return Raw(native_id, f"QUESTION\n{question}\n\nANSWER\n{answer}", meta)


def _addresses(metadata: list[Any]) -> tuple[str | None, str | None]:
    """Where the question stands, and its site."""
    for address in metadata:
        if isinstance(address, str) and "/questions/" in address:
            try:
                parts = urlsplit(address)
            except ValueError:
                continue
            if parts.scheme in ("http", "https") and parts.netloc:
                return address, f"{parts.scheme}://{parts.netloc}"
    return None, None
