"""A database schema, a question and the query that answers it: SQaLe. All three must be there, else `incomplete`."""

from pydantic import Field

from trellis.download.archive import Raw, Row


class Shape(Row):
    tables: str | None = Field(alias="schema")
    question: str | None
    query: str | None


def render(native_id: str, row: Shape) -> Raw | str:
    parts = {"SCHEMA": row.tables, "QUESTION": row.question, "SQL": row.query}
    if not all(part and part.strip() for part in parts.values()):
        return "incomplete"
    return Raw(native_id, "\n\n".join(f"{head}\n{part.strip()}" for head, part in parts.items()))
