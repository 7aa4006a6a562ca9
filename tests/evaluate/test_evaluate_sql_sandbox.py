"""The process that executes SQL: it gives what sqlite gives, and nothing that a query does reaches beyond it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trellis.address import code_digest
from trellis.errors import TrellisError
from trellis.evaluate import sandbox as sandbox_module
from trellis.evaluate import sandbox_worker
from trellis.evaluate.sandbox import LONGEST_QUERY, Sandbox, same_rows

TABLES = ["CREATE TABLE t (a INTEGER, b TEXT, c REAL)", "CREATE TABLE u (a INTEGER, d TEXT)"]
FILLINGS = [
    {"t": [[1, "x", 0.5], [2, "y", 1.5]], "u": [[1, "p"]]},
    {"t": [[3, "z", 2.5]], "u": [[3, "q"], [4, "r"]]},
]


@pytest.fixture(scope="module")
def sandbox():
    with contextlib.closing(Sandbox()) as made:
        yield made


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("SELECT a, b FROM t", [[1, "x"], [2, "y"]]),
        ("select count(*) from T ;", [[2]]),
        ("SELECT SUM(c), AVG(a), MAX(b) FROM t", [[2.0, 1.5, "y"]]),
        ("SELECT t.b, u.d FROM t LEFT JOIN u ON t.a = u.a ORDER BY 1 DESC", [["y", None], ["x", "p"]]),
        ("WITH w AS (SELECT a FROM t) SELECT COUNT(*) FROM w", [[2]]),
        ("SELECT COUNT(*) FROM (SELECT DISTINCT b FROM t)", [[2]]),
        ("SELECT b FROM t WHERE a IN (SELECT a FROM u) -- those", [["x"]]),
        ("/* all */ SELECT b, RANK() OVER (ORDER BY a DESC) FROM t", [["y", 1], ["x", 2]]),
        ("SELECT CASE WHEN a > 1 THEN 'more' ELSE UPPER(b) END FROM t", [["X"], ["more"]]),
        ("SELECT a FROM t UNION SELECT a FROM u", [[1], [2]]),
        (
            "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
            [[1], [2], [3]],
        ),
        ("VALUES (1, 'a')", [[1, "a"]]),
        ("SELECT x'ff', CAST(a AS TEXT), NULL FROM t LIMIT 1", [["x'ff'", "1", None]]),
    ],
)
def test_a_query_gives_its_rows_over_each_filling(sandbox, query, first):
    found = sandbox.execute(TABLES, FILLINGS, query)
    assert found.compiled and len(found.results) == 2
    assert same_rows(found.results[0], first, "ORDER BY" in query) and None not in found.results


# What is not one statement that only reads.
REFUSED = {
    "nothing": "",
    "a semicolon": ";",
    "prose": "I would select all rows.",
    "an unknown column": "SELECT nothing FROM t",
    "an unknown table": "SELECT 1 FROM nothing",
    "insert": "INSERT INTO t VALUES (9, 'w', 1)",
    "update": "UPDATE t SET a = 0",
    "delete": "DELETE FROM t",
    "drop": "DROP TABLE t",
    "alter": "ALTER TABLE t RENAME TO v",
    "create": "CREATE TABLE v AS SELECT * FROM t",
    "a temporary table": "CREATE TEMP TABLE v (a)",
    "a view": "CREATE VIEW v AS SELECT 1",
    "a trigger": "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
    "write after read": "SELECT 1; DROP TABLE t",
    "two queries": "SELECT a FROM t; SELECT b FROM t",
    "write after a comment": "SELECT 1 /* ; */ ; -- x\nDELETE FROM t",
    "write in a common table": "WITH w AS (SELECT 1) DELETE FROM t",
    "returning": "DELETE FROM t RETURNING a",
    "attach": "ATTACH DATABASE 'stolen.db' AS s",
    "vacuum into a file": "VACUUM INTO 'stolen.db'",
    "vacuum": "VACUUM",
    "pragma": "PRAGMA table_info(t)",
    "pragma that writes": "PRAGMA writable_schema = 1",
    "pragma as a table": "SELECT * FROM pragma_table_info('t')",
    "the catalogue": "SELECT sql FROM sqlite_master",
    "begin": "BEGIN",
    "savepoint": "SAVEPOINT s",
    "analyze": "ANALYZE",
    "reindex": "REINDEX",
    "explain": "EXPLAIN SELECT 1",
    "query plan": "QUERY PLAN SELECT 1",
    "load_extension": "SELECT load_extension('/lib/x.so')",
    "readfile": "SELECT readfile('/etc/passwd')",
    "writefile": "SELECT writefile('stolen', 'x')",
    "a random number": "SELECT random()",
    "the time": "SELECT datetime('now')",
    "the time by another name": "SELECT CURRENT_TIMESTAMP",
    "zeroblob": "SELECT zeroblob(1000000000)",
    "a padded number": "SELECT printf('%.*c', 1000000000, 'x')",
    "json": "SELECT value FROM json_each('[1]')",
    "a parameter": "SELECT a FROM t WHERE a = ?",
    "NUL": "SELECT 1\x00",
    "a lone surrogate": "SELECT '\ud800'",
    "brackets": f"SELECT {'(' * 4_000}1{')' * 4_000}",
    "unions": " UNION ".join(["SELECT 1"] * 400),
    "columns": f"SELECT {','.join(['1'] * 3_000)}",
    "a megabyte": "SELECT 1" + " " * 2**20,
    "a megabyte of text": f"SELECT '{'x' * 2**20}'",
    "doubling common tables": "WITH a0(x) AS (SELECT a FROM t), "
    + ", ".join(f"a{n}(x) AS (SELECT p.x FROM a{n - 1} p, a{n - 1} q)" for n in range(1, 26))
    + " SELECT COUNT(*) FROM a25",
}
SECONDS = 4


@pytest.mark.parametrize("attack", REFUSED)
def test_what_is_not_a_single_reading_query_is_refused(sandbox, attack):
    start = time.monotonic()
    assert sandbox.execute(TABLES, FILLINGS, REFUSED[attack]) == (False, [None, None])
    assert time.monotonic() - start < SECONDS
    assert sandbox.execute(TABLES, FILLINGS, "SELECT COUNT(*) FROM t").results == [[[2]], [[1]]]


MANY = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000), "
    f"s(x) AS (SELECT HEX(HEX(HEX(HEX(HEX(HEX('{'abcdef' * 13}'))))))) SELECT {{}} FROM n, s"
)
# What reads and costs too much.
ENDLESS = {
    "rows without end": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "a count without end": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
    "a growing string": "WITH RECURSIVE n(s) AS (SELECT 'abcdefgh' UNION ALL SELECT s || s FROM n) SELECT LENGTH(s) FROM n",
    "a product of tables": f"SELECT COUNT(*) FROM {', '.join(f't t{n}' for n in range(30))}",
    "a sorted product": f"SELECT t0.a FROM {', '.join(f't t{n}' for n in range(30))} ORDER BY t5.c * t9.c",
    "many strings to tell apart": MANY.format("COUNT(DISTINCT x || i)"),
    "many strings to sort": f"{MANY.format('x || i')} ORDER BY x || i DESC",
    "a long answer": "WITH s(x) AS (SELECT REPLACE(HEX(HEX(HEX('abcdefgh'))), '3', '333333333333')), "
    "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT x FROM s, n",
    "too many rows": "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) SELECT i FROM n",
    "invalid text": "SELECT CAST(x'ff' AS TEXT)",
    "a sum beyond 64 bits": "SELECT SUM(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)",
}


@pytest.mark.parametrize("attack", ENDLESS)
def test_what_costs_too_much_has_no_rows(sandbox, attack):
    start = time.monotonic()
    found = sandbox.execute(TABLES, [FILLINGS[0]], ENDLESS[attack])
    assert found == (True, [None])
    assert time.monotonic() - start < SECONDS


def test_the_longest_results_that_are_taken(sandbox):
    query = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n"
    assert len(sandbox.execute(TABLES, [FILLINGS[0]], query.format(1_000)).results[0]) == 1_000
    padded = "SELECT a FROM t".ljust(LONGEST_QUERY)
    assert sandbox.execute(TABLES, FILLINGS, padded).compiled
    assert not sandbox.execute(TABLES, FILLINGS, padded + " ").compiled


SLOW = (
    "WITH RECURSIVE d(x, n) AS (SELECT 'a', 0 UNION ALL SELECT x || x, n + 1 FROM d WHERE n < 13), "
    "s(x) AS (SELECT x || SUBSTR(x, 1, 1000) FROM d WHERE n = 13), "
    "r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 100000) "
    "SELECT SUM(INSTR(x, SUBSTR(x, 1, 4500) || 'b' || i)) FROM s, r"
)


def test_few_instructions_that_take_long_are_ended_by_the_clock():
    with contextlib.closing(Sandbox(seconds=0.7)) as short:
        first = short.execute(TABLES, FILLINGS, "SELECT 1")
        process = short.process
        start = time.monotonic()
        assert short.execute(TABLES, FILLINGS, SLOW) == (False, [None, None])
        assert 0.6 < time.monotonic() - start < 3
        assert process.poll() is not None
        assert short.execute(TABLES, FILLINGS, "SELECT 1") == first and short.process.pid != process.pid


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_died_is_started_again(stop):
    with contextlib.closing(Sandbox()) as made:
        made.execute(TABLES, FILLINGS, "SELECT 1")
        os.kill(made.process.pid, stop)
        made.process.wait()
        assert made.execute(TABLES, FILLINGS, "SELECT b FROM t").results == [[["x"], ["y"]], [["z"]]]
        made.close()
        assert made.execute(TABLES, FILLINGS, "SELECT 1").compiled


def test_without_a_process_nothing_is_scored(monkeypatch):
    monkeypatch.setattr(sandbox_module, "COMMAND", (sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(TrellisError, match="no process for SQL can be started"):
        Sandbox().execute(TABLES, FILLINGS, "SELECT 1")


def test_the_process_ends_with_the_one_that_asks():
    code = (
        "from trellis.evaluate.sandbox import Sandbox\n"
        "s = Sandbox(); s.execute([], [{}], 'SELECT 1'); print(s.process.pid, flush=True)\n"
        "import os; os._exit(1)"
    )
    path = str(Path(sandbox_module.__file__).parents[2])
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    pid = int(made.stdout)
    for _ in range(100):
        if not Path(f"/proc/{pid}/stat").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


PROBES = """
import json, os, resource, socket, sys
sys.path.insert(0, {folder!r})
import sandbox_worker
sandbox_worker.confine()
def attempt(work):
    try:
        work()
    except BaseException as error:
        return type(error).__name__
    return "done"
found = {{
    "read a file": attempt(lambda: open("/etc/hostname")),
    "write a file": attempt(lambda: open("stolen", "w")),
    "a socket": attempt(lambda: socket.socket()),
    "a pair of sockets": attempt(lambda: socket.socketpair()),
    "a pipe": attempt(os.pipe),
    "a gibibyte": attempt(lambda: bytearray(2**30)),
    "write on": attempt(lambda: os.write(1, b"x" * 10) and os.fsync(1)),
    "some memory": attempt(lambda: bytearray(2**24)),
    "take it back": attempt(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))),
}}
os.write(2, json.dumps(found).encode())
"""


def test_the_process_can_open_nothing_and_reach_nobody(tmp_path):
    code = PROBES.format(folder=str(Path(sandbox_worker.__file__).parent))
    with (tmp_path / "out").open("w") as out:
        made = subprocess.run([sys.executable, "-I", "-c", code], stdout=out, stderr=subprocess.PIPE, cwd=tmp_path)
    found = json.loads(made.stderr)
    assert found.pop("some memory") == "done"
    assert found.pop("take it back") == "ValueError" or os.geteuid() == 0  # root may
    assert found.pop("a gibibyte") == "MemoryError"
    assert set(found.values()) == {"OSError"}
    assert (tmp_path / "out").stat().st_size == 0 and not (tmp_path / "stolen").exists()


def test_the_worker_imports_no_network_and_nothing_of_ours():
    code = f"import runpy, sys; runpy.run_path({sandbox_worker.__file__!r}); print(*sys.modules)"
    made = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert not {"socket", "_socket", "ssl", "urllib", "subprocess", "ctypes", "trellis"} & set(made.stdout.split())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_sqlite_itself_is_held_to_less_memory_than_the_process():
    """Where the process cannot be limited, as on macOS. The same query takes half a gibibyte without."""
    tables, filling = [TABLES[0]], {"t": FILLINGS[0]["t"]}
    code = f"import sys\nsys.path.insert(0, {str(Path(sandbox_worker.__file__).parent)!r})\nimport sandbox_worker\n"
    code += f"print(sandbox_worker.answer({tables!r}, [{filling!r}], {ENDLESS['many strings to tell apart']!r})['results'])\n"
    code += "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    made = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    rows, kib = made.stdout.splitlines()
    assert rows == "[None]" and int(kib) < 200 * 1024


def test_the_workers_code_is_part_of_every_address_that_rests_on_it():
    for module in ("trellis.evaluate.scorers.text_to_sql", "trellis.evaluate.suites.text_to_sql"):
        assert "trellis.evaluate.sandbox_worker" in code_digest(module)


def test_no_file_is_written_anywhere_near(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Sandbox()) as made:
        for attack in ("attach", "vacuum into a file", "writefile"):
            made.execute(TABLES, FILLINGS, REFUSED[attack])
    assert not list(tmp_path.iterdir()) and not Path("/stolen.db").exists()


WORDS = "SELECT FROM WHERE t u a b c d * , ( ) = 'x' 1 GROUP BY ORDER LIMIT JOIN ON WITH AS UNION ; -- /* NOT IN"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join))
def test_any_text_is_executed_or_refused(sandbox, query):
    found = sandbox.execute(TABLES, FILLINGS, query)
    assert len(found.results) == 2 and (found.compiled or found.results == [None, None])


def test_results_are_compared_as_what_was_asked_for():
    rows = [[1, "a"], [2, "b"], [2, "b"]]
    assert same_rows([[2, "b"], [1, "a"], [2, "b"]], rows, ordered=False)
    assert not same_rows([[2, "b"], [1, "a"], [2, "b"]], rows, ordered=True)
    assert same_rows(list(rows), rows, ordered=True)
    for other in (
        rows[:2],
        [*rows, [1, "a"]],
        [[1, "a"], [1, "a"], [2, "b"]],
        [["a", 1], ["b", 2], ["b", 2]],
        None,
        [],
    ):
        assert not same_rows(other, rows, ordered=False)
    assert same_rows([[0.1 + 0.2]], [[0.3]], True) and same_rows([[3]], [[3.0]], True)
    for one, other in ((0.3, 0.3001), (1, "1"), (None, 0), (None, ""), ("a", "A"), (float("inf"), 1)):
        assert not same_rows([[one]], [[other]], True)
    assert same_rows([[None]], [[None]], True) and not same_rows([[1, 2]], [[1]], True)
