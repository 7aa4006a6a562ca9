"""An endpoint that speaks OpenAI's protocol, for tests: chat completions with JSON Schema output, files and batches.

`with OpenAIServer() as server:` serves until the block ends, held connections included. `script` decides what a chat
completion is answered; without one, every question gets an answer that fits its schema and depends on its text alone.
"""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

QUEUE_IS_FULL = {
    "status": "failed",
    "errors": {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]},
}
KEY = "sk-a-secret-that-nobody-may-read"


@dataclass
class Reply:
    """What a chat completion is answered. `hang` never answers, `cut` closes the connection in the middle of the body,
    `raw` replaces the body; `usage` is (input, output) tokens, None for none."""

    content: str | None = None
    refusal: str | None = None
    finish: str = "stop"
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = (100, 10)
    delay: float = 0.0
    hang: bool = False
    cut: bool = False
    raw: bytes | None = None


@dataclass
class Call:
    """A chat completion as the server saw it. `seen` counts the calls with the same body that came before."""

    body: dict[str, Any]
    seen: int

    @property
    def rubric(self) -> str:
        return self.body["response_format"]["json_schema"]["name"]

    @property
    def schema(self) -> dict[str, Any]:
        return self.body["response_format"]["json_schema"]["schema"]

    @property
    def text(self) -> str:
        """The document between its marks."""
        return re.search(r"==== (\w+) ====\n(.*)\n==== \1 ====", self.body["messages"][1]["content"], re.DOTALL)[2]

    @property
    def is_repair(self) -> bool:
        return len(self.body["messages"]) > 2

    def fitting(self) -> str:
        """An answer that fits the schema, by the text's hash."""
        number = int(sha256(self.text.encode()).hexdigest(), 16)
        answer = {}
        for place, (name, rule) in enumerate(self.schema["properties"].items()):
            answer[name] = bool(number >> place & 1) if rule["type"] == "boolean" else None
            if "enum" in rule:
                answer[name] = rule["enum"][number % len(rule["enum"])]
        return json.dumps(answer)


Script = Callable[[Call], Reply]


class OpenAIServer:
    """`calls` are the bodies of chat completions in the order of their coming (batches: of their being worked through),
    `most_at_once` the most that were open together, `batches` and `files` what was created."""

    def __init__(self, script: Script | None = None, key: str | None = KEY) -> None:
        self.script = script or (lambda call: Reply(call.fitting()))
        self.key = key
        self.calls: list[dict[str, Any]] = []
        self.answered: list[str] = []
        self.at_once = self.most_at_once = 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        # What may go wrong with batches: see `_work_through`.
        self.polls_until_done = 1
        self.lost: Callable[[Call], bool] = lambda call: False
        self.expired: Callable[[Call], bool] = lambda call: False
        self.turned_down = ""
        self.refuse_creations = self.refused = 0
        self.queue = 1000
        self.cut_creations = 0
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._seen: Counter[str] = Counter()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def asked(self) -> Counter[str]:
        """How often each body was asked."""
        return Counter(spelling(body) for body in self.calls)

    def handle(self, request: "_Handler", method: str, path: str, query: str, body: bytes) -> None:
        """Answers one HTTP request."""
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            given = request.headers.get("Authorization", "")
            request.send(401, {"error": {"message": f"Incorrect API key provided: {given}", "code": "invalid_api_key"}})
        elif (method, path) == ("POST", "/v1/chat/completions"):
            self._chat(request, json.loads(body))
        elif (method, path) == ("POST", "/v1/files"):
            request.send(200, self._store(body))
        elif (method, path) == ("POST", "/v1/batches"):
            self._create(request, json.loads(body))
        elif (method, path) == ("GET", "/v1/batches"):
            listed = [self._shown(name) for name in reversed(self.batches)]
            after = re.search(r"after=(\w+)", query)
            start = [each["id"] for each in listed].index(after[1]) + 1 if after else 0
            request.send(200, {"data": listed[start : start + 2], "has_more": len(listed) > start + 2})
        elif found := re.fullmatch(r"/v1/batches/(\w+)", path):
            request.send(200, self._poll(found[1]))
        elif (found := re.fullmatch(r"/v1/files/(\w+)/content", path)) and found[1] in self.files:
            request.send(200, self.files[found[1]])
        else:
            request.send(404, {"error": {"message": f"no {method} {path} here"}})

    def _chat(self, request: "_Handler", body: dict[str, Any]) -> None:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            reply = self._decide(body)
            time.sleep(reply.delay)
            if reply.hang:
                self._stopping.wait()
                return
        finally:
            with self._lock:
                self.at_once -= 1
        content = reply.raw if reply.raw is not None else json.dumps(completion(body, reply)).encode()
        request.send(reply.status, content, reply.headers, cut=reply.cut)
        if reply.status == 200 and not reply.cut and reply.raw is None:
            with self._lock:
                self.answered.append(spelling(body))

    def _decide(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.calls.append(body)
            call = Call(body, self._seen[spelling(body)])
            self._seen[spelling(body)] += 1
        return self.script(call)

    def _store(self, form: bytes) -> dict[str, Any]:
        """The file of a multipart form."""
        edge = form.split(b"\r\n", 1)[0]
        (part,) = [part for part in form.split(edge) if b'name="file"' in part]
        content = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        return {"id": self._new_file(content), "object": "file", "bytes": len(content), "purpose": "batch"}

    def _new_file(self, content: bytes) -> str:
        name = f"file{len(self.files)}"
        self.files[name] = content
        return name

    def _create(self, request: "_Handler", order: dict[str, Any]) -> None:
        if self.refuse_creations:
            self.refused += 1
            request.send(self.refuse_creations, {"error": {"message": "no batches today"}})
            return
        with self._lock:
            name = f"batch{len(self.batches)}"
            queued = sum(batch["state"] is None for batch in self.batches.values())
            self.batches[name] = {**order, "polls": 0, "state": None if queued < self.queue else QUEUE_IS_FULL}
        if self.cut_creations:
            self.cut_creations -= 1
            request.send(200, self._shown(name), cut=True)
        else:
            request.send(200, self._shown(name))

    def _poll(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["polls"] += 1
        if batch["state"] is None and batch["polls"] >= self.polls_until_done:
            batch["state"] = self._work_through(self.files[batch["input_file_id"]])
        return self._shown(name)

    def _shown(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        state = batch["state"] or {"status": "in_progress"}
        return {"id": name, "metadata": batch.get("metadata"), "input_file_id": batch["input_file_id"], **state}

    def _work_through(self, orders: bytes) -> dict[str, Any]:
        """Results in another order than the orders, with a stranger's and a broken line among them; lost ones are in no
        file, expired ones in the file of errors."""
        if self.turned_down:
            return {"status": "failed", "errors": {"data": [{"message": self.turned_down}]}}
        results, errors = [], []
        for line in reversed(orders.splitlines()):
            order = json.loads(line)
            body = order["body"]
            call = Call(body, self._seen[spelling(body)])
            if self.lost(call) or self.expired(call):
                self._seen[spelling(body)] += 1
                if not self.lost(call):
                    error = {"code": "batch_expired", "message": "not within the window"}
                    errors.append({"custom_id": order["custom_id"], "response": None, "error": error})
                continue
            reply = self._decide(body)
            response = {"status_code": reply.status, "body": completion(body, reply)}
            results.append({"custom_id": order["custom_id"], "response": response, "error": None})
            self.answered.append(spelling(body))
        stranger = {**results[0], "custom_id": "a stranger's"} if results else {}
        return {
            "status": "expired" if errors else "completed",
            "output_file_id": self._new_file(_lines([*results, stranger]) + b'{"custom_id": ') if results else None,
            "error_file_id": self._new_file(_lines(errors)) if errors else None,
        }


def completion(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """The body of a response."""
    if reply.status != 200:
        return {"error": {"message": "so the script says", **reply.error}}
    message = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    usage = reply.usage and {"prompt_tokens": reply.usage[0], "completion_tokens": reply.usage[1]}
    return {
        "object": "chat.completion",
        "model": f"{body['model']}-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": usage,
    }


def spelling(body: dict[str, Any]) -> str:
    """One spelling per body."""
    return json.dumps(body, sort_keys=True)


def _lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(errors="backslashreplace")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: OpenAIServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: without this, the second waits for the first to be acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def _dispatch(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        self.server.owner.handle(self, method, path, query, body)

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
