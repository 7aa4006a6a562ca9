"""What the local hub answers, and the ways in which an answer can go wrong.

A fault is a function from a request and its true reply to the reply that is sent instead. It returns None where it has
nothing to spoil (a body fault on a HEAD, a range fault without a Range): such a request is answered truly and does not
count.
"""

import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any, Literal

PIECE = 1 << 16
TICK = 0.05


@dataclass
class Request:
    """A request as the server saw it. `status` and `sent` (bytes of the body) tell of the answer."""

    server: Literal["hub", "cdn"]
    port: int
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    target: str = ""
    body: bytes = b""
    status: int | None = None
    sent: int = 0
    spoiled: bool = False

    @property
    def line(self) -> str:
        """What the `match` of a fault is looked for in: `GET /api/datasets/org/name/tree/main?recursive=true`."""
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        return f"{self.method} {self.path}?{query}" if query else f"{self.method} {self.path}"

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip() or None


@dataclass
class Reply:
    """An answer. `whole` is the file of which `body` is all or a range; the last fields are for faults only."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bytes | None = None
    stop: int | None = None  # bytes of the body after which the connection ends
    hold: float | None = 0  # seconds to wait before that end; None is for ever
    reset: bool = False  # end by a TCP reset
    rate: float | None = None  # bytes per second
    chunked: bool = False  # no Content-Length, and a clean end
    silent: bool = False  # not even a status line


Fault = Callable[[Request, Reply], Reply | None]


def json_reply(content: Any, headers: dict[str, str] | None = None, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(content).encode())


def error(status_code: int, code: str | None, message: str, headers: dict[str, str] | None = None) -> Reply:
    named = {"X-Error-Code": code} if code else {}
    return json_reply({"error": message}, {**named, "X-Error-Message": message, **(headers or {})}, status_code)


def file_reply(request: Request, whole: bytes, headers: dict[str, str]) -> Reply:
    """The file, or the one range of it that was asked for: 200, 206 or 416."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    unit, _, asked = request.headers.get("range", "").partition("=")
    first, dash, last = asked.strip().partition("-")
    if unit.strip() != "bytes" or not dash or not (first + last).isdigit():
        return Reply(200, headers, whole, whole)
    start = int(first) if first else max(len(whole) - int(last), 0)
    stop = min(int(last) + 1, len(whole)) if first and last else len(whole)
    if start >= stop:
        return _unsatisfiable(whole)
    return Reply(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(whole)}"}, whole[start:stop], whole)


def _unsatisfiable(whole: bytes) -> Reply:
    return Reply(416, {"Content-Range": f"bytes */{len(whole)}", "Content-Type": "text/plain"}, b"", whole)


def send(handler: BaseHTTPRequestHandler, request: Request, reply: Reply, stopping: Event) -> None:
    """Writes the reply, as well or as badly as it says; a held reply ends when `stopping` is set."""
    request.status = None if reply.silent else reply.status
    if not reply.silent:
        _send_head(handler, reply)
    body = reply.body[: reply.stop] if request.method != "HEAD" and not reply.silent else b""
    size = max(1, int(reply.rate * TICK)) if reply.rate else PIECE
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        request.sent += len(piece)
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if reply.chunked else piece)
        if reply.rate and stopping.wait(TICK):
            break
    if reply.chunked and request.method != "HEAD":
        handler.wfile.write(b"0\r\n\r\n")
    partial = request.method != "HEAD" and len(body) < len(reply.body)
    if reply.silent or reply.reset or reply.chunked or partial:
        stopping.wait(reply.hold)
        handler.close_connection = True
    if reply.reset:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.rfile.close()
        handler.connection.close()


def _send_head(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.chunked:
        handler.send_header("Transfer-Encoding", "chunked")
    else:
        handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()


# ---------------------------------------------------------------- faults of the whole answer


def status(code: int, retry_after: int | None = None, rate_limit: bool = False) -> Fault:
    """429 says when to come back in Retry-After or, with `rate_limit`, in the newer RateLimit header."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if rate_limit:
        headers = {"RateLimit": f'"api";r=0;t={retry_after}', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    return lambda request, reply: error(code, None, f"The local hub was told to answer {code}.", headers)


def hang(seconds: float | None = None) -> Fault:
    """No answer at all, for so long or until the hub closes; then the connection ends."""
    return lambda request, reply: replace(reply, silent=True, hold=seconds)


def html() -> Fault:
    """The page of a captive portal under status 200."""
    page = b"<!doctype html><html><head><title>Welcome</title></head><body>Please sign in to the network.</body></html>"
    return lambda request, reply: Reply(200, {"Content-Type": "text/html; charset=utf-8"}, page)


def gone() -> Fault:
    """A file that has vanished."""
    return lambda request, reply: error(404, "EntryNotFound", "Entry not found")


def header(name: str, value: str | None) -> Fault:
    """One header changed, or left out (None)."""

    def spoil(request: Request, reply: Reply) -> Reply:
        kept = {key: text for key, text in reply.headers.items() if key.lower() != name.lower()}
        return replace(reply, headers=kept if value is None else {**kept, name: value})

    return spoil


def meanwhile(happen: Callable[[], object]) -> Fault:
    """A true answer, and something that has happened by the time it arrives: a branch moved, say."""

    def spoil(request: Request, reply: Reply) -> Reply:
        happen()
        return reply

    return spoil


# ---------------------------------------------------------------- faults of a body


def _of_body(spoil: Callable[[Reply], Reply]) -> Fault:
    return lambda request, reply: spoil(reply) if request.method != "HEAD" and reply.status in (200, 206) else None


def cut(after: int) -> Fault:
    """The connection is closed after so many bytes of the announced body."""
    return _of_body(lambda reply: replace(reply, stop=after))


def reset(after: int) -> Fault:
    """A TCP reset after so many bytes; the pause lets those arrive."""
    return _of_body(lambda reply: replace(reply, stop=after, reset=True, hold=TICK))


def short(after: int) -> Fault:
    """So many bytes in chunked coding with a proper end: nothing in this answer says that there should be more."""
    return _of_body(lambda reply: replace(reply, stop=after, chunked=True))


def slow(rate: float) -> Fault:
    """The right body at so many bytes per second."""
    return _of_body(lambda reply: replace(reply, rate=rate))


def stall(after: int, seconds: float | None = None) -> Fault:
    """So many bytes, then silence for so long or until the hub closes, then the end."""
    return _of_body(lambda reply: replace(reply, stop=after, hold=seconds))


def flip(offset: int = 0) -> Fault:
    """One bit of one byte is wrong; length and headers are right. A negative offset counts from the end."""

    def spoil(reply: Reply) -> Reply:
        body = bytearray(reply.body)
        body[offset] ^= 1
        return replace(reply, body=bytes(body))

    return _of_body(spoil)


def other_bytes(body: bytes) -> Fault:
    """Another body, honest about its own length."""
    return _of_body(lambda reply: Reply(200, reply.headers, body, body))


def cut_json(after: int) -> Fault:
    """JSON that stops in the middle of an answer whose length is right."""
    return _of_body(lambda reply: replace(reply, body=reply.body[:after]))


def edit_json(change: Callable[[Any], Any]) -> Fault:
    """A listing or an info that says something else: `edit_json(lambda info: {**info, "sha": None})`."""
    return _of_body(lambda reply: replace(reply, body=json.dumps(change(json.loads(reply.body))).encode()))


def listing(kind: Literal["traversal", "absolute", "null", "duplicate", "no_sha256", "no_size", "empty"]) -> Fault:
    """A tree listing that no honest hub sends, made from its first file."""
    changes: dict[str, Callable[[dict], list[dict]]] = {
        "traversal": lambda file: [{**file, "path": "../../outside.parquet"}],
        "absolute": lambda file: [{**file, "path": "/tmp/outside.parquet"}],
        "null": lambda file: [{**file, "path": None}],
        "duplicate": lambda file: [file, file],
        "no_sha256": lambda file: [{name: value for name, value in file.items() if name != "lfs"}],
        "no_size": lambda file: [{**file, "size": None}],
        "empty": lambda file: [],
    }

    def change(entries: list[dict]) -> list[dict]:
        at = next(index for index, entry in enumerate(entries) if entry["type"] == "file")
        return [] if kind == "empty" else [*entries[:at], *changes[kind](entries[at]), *entries[at + 1 :]]

    return edit_json(change)


# ---------------------------------------------------------------- faults of the CDN and of ranges


def expired() -> Fault:
    """The signed link is out of time."""
    page = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    denied = Reply(403, {"Content-Type": "application/xml"}, page)
    return lambda request, reply: denied if request.server == "cdn" else None


def _of_range(spoil: Callable[[Reply], Reply]) -> Fault:
    def fault(request: Request, reply: Reply) -> Reply | None:
        return spoil(reply) if "range" in request.headers and reply.status == 206 else None

    return fault


def ignore_range() -> Fault:
    """200 and the whole file to a request for a part."""

    def spoil(reply: Reply) -> Reply:
        headers = {name: value for name, value in reply.headers.items() if name != "Content-Range"}
        return replace(reply, status=200, headers=headers, body=reply.whole)

    return _of_range(spoil)


def wrong_range(shift: int = 1) -> Fault:
    """206 with the bytes that lie so much before those asked for, under the Content-Range that was asked for."""

    def spoil(reply: Reply) -> Reply:
        start = int(reply.headers["Content-Range"].removeprefix("bytes ").split("-")[0]) - shift
        return replace(reply, body=reply.whole[start : start + len(reply.body)])

    return _of_range(spoil)


def refuse_range() -> Fault:
    """416 to a range that lies within the file."""
    return _of_range(lambda reply: _unsatisfiable(reply.whole))
