"""The process in which queries of models are executed: started by `sandbox`, a request and a reply a line, JSON.

It imports nothing of Trellis, and before it reads a request it gives up what a query could misuse: files and sockets (every
descriptor that it may have is taken, so that none can be opened; this takes no privilege, and holds in containers), writing
to files, and memory. In sqlite itself, a query may read the tables that it was given and call FUNCTIONS, which give the
same result every time and everywhere; sqlite's own limits and a budget of instructions bound its work.
"""

import contextlib
import json
import resource
import sqlite3
import sys
from typing import Any

MEMORY, HEAP = 512 * 2**20, 64 * 2**20
# Instructions of sqlite's virtual machine, counted in steps of STRIDE: about a quarter of a second.
INSTRUCTIONS, STRIDE = 5_000_000, 1_000
MOST_ROWS, MOST_CHARACTERS = 1_000, 100_000
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_100,
    sqlite3.SQLITE_LIMIT_COLUMN: 64,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
FUNCTIONS = {
    *("count", "sum", "total", "avg", "min", "max", "group_concat"),
    *("abs", "round", "length", "lower", "upper", "substr", "substring", "instr", "trim", "ltrim", "rtrim", "replace"),
    *("like", "glob", "hex", "quote", "typeof", "coalesce", "ifnull", "nullif", "iif", "unicode", "char"),
    *("row_number", "rank", "dense_rank", "percent_rank", "ntile"),
    *("lag", "lead", "first_value", "last_value", "nth_value"),
}


def main() -> None:
    confine()
    for line in sys.stdin.buffer:
        print(json.dumps(answer(**json.loads(line))), flush=True)


def confine() -> None:
    """Gives up, for good, what no query needs."""
    for name, limit in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 3)):
        resource.setrlimit(name, (limit, limit))
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit; sqlite's own holds there too
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def answer(tables: list[str], fillings: list[dict[str, list[list[Any]]]], query: str) -> dict[str, Any]:
    """`compiled`: whether the query is one statement that reads; `results`: its rows over each filling of the tables, null
    where it fails or exceeds a limit."""
    results = []
    for filling in fillings:
        with contextlib.closing(_database(tables, filling)) as connection:
            actions = _restrict(connection, set(filling))
            if not results and not (_compiles(connection, query) and sqlite3.SQLITE_SELECT in actions):
                return {"compiled": False, "results": [None for _ in fillings]}
            results.append(_rows(connection, query))
    return {"compiled": True, "results": results}


def _database(tables: list[str], filling: dict[str, list[list[Any]]]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA hard_heap_limit = {HEAP}")
    connection.execute("PRAGMA temp_store = MEMORY")
    for statement in tables:
        connection.execute(statement)
    for table, rows in filling.items():
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    return connection


def _restrict(connection: sqlite3.Connection, tables: set[str]) -> set[int]:
    """Allows reading `tables`, and nothing else; returns what will have been asked for, as sqlite's codes of actions."""
    actions: set[int] = set()

    def authorise(action: int, first: str | None, second: str | None, *_: Any) -> int:
        actions.add(action)
        allowed = (
            action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
            # Without a column, how many rows there are, which is asked of subqueries under any name.
            or (action == sqlite3.SQLITE_READ and (first in tables or not second))
            or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    for limit, value in LIMITS.items():
        connection.setlimit(limit, value)
    connection.set_authorizer(authorise)
    left = iter(range(INSTRUCTIONS // STRIDE))
    connection.set_progress_handler(lambda: next(left, None) is None, STRIDE)
    return actions


def _compiles(connection: sqlite3.Connection, query: str) -> bool:
    try:
        # What begins with QUERY PLAN compiles here and is no query: it has another header.
        return connection.execute(f"EXPLAIN {query}").description[0][0] == "addr"
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError):
        return False


def _rows(connection: sqlite3.Connection, query: str) -> list[list[Any]] | None:
    rows, left = [], MOST_CHARACTERS
    try:
        for row in connection.execute(query):
            left -= sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in row)
            if len(rows) == MOST_ROWS or left < 0:
                return None
            rows.append([f"x'{cell.hex()}'" if isinstance(cell, bytes) else cell for cell in row])
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError):
        return None
    return rows


if __name__ == "__main__":
    main()
