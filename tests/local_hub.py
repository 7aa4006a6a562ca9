"""A Hugging Face hub on this machine, for tests: two servers that speak the real protocol to the unmodified client.

The hub proper answers the API and small files; files in large storage are redirected to the CDN, another server on
another port, by a link that is signed and expires. `LocalHub.fail` makes either misbehave; see `hub_faults`.
"""

import base64
import hashlib
import hmac
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, RLock, Thread
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode, urlsplit

from hub_faults import Fault, Reply, Request, error, file_reply, json_reply, send
from hub_storage import Commit, Gate, Kind, Licence, Repo, committed, entries, info, refs

API = re.compile(r"/api/(dataset|model)s/([^/]+/[^/]+)(?:/(revision|tree|refs|paths-info)(?:/([^/]+)(?:/(.+))?)?)?")
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
SECRET = b"of the local hub"


@dataclass
class _Armed:
    match: str
    fault: Fault
    times: int | None


class LocalHub:
    """`with LocalHub() as hub:` serves until the block ends, held connections included."""

    def __init__(self, page_size: int = 50, link_seconds: float = 3600, lfs_above: int = 10_000) -> None:
        self.page_size, self.link_seconds, self.lfs_above = page_size, link_seconds, lfs_above
        self._lock, self._stopping = RLock(), Event()
        self._repos: dict[tuple[str, str], Repo] = {}
        self._faults: list[_Armed] = []
        self._requests: list[Request] = []
        self._granted: set[tuple[str, str | None]] = set()
        self._refused: set[str] = set()
        self._connections: set[socket.socket] = set()
        self._failures: list[BaseException] = []
        self._servers = _Server(self, "hub", self._answer), _Server(self, "cdn", self._answer_cdn)
        self.endpoint, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        for server in self._servers:
            Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "LocalHub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection. An error in the hub's own code, if there was one, is raised here."""
        self._stopping.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            failures, self._failures = self._failures, []
        if failures:
            raise RuntimeError("the local hub failed") from failures[0]

    def add(
        self,
        kind: Kind,
        repo_id: str,
        files: Mapping[str, bytes | None],
        *,
        gated: Gate | None = None,
        licence: Licence | None = None,
        message: str = "",
        branch: str = "main",
    ) -> str:
        """Commits files to a branch: new and changed ones as bytes, deleted ones as None, the others as they were.

        The answer is the commit, a function of the repo, the parent and the content alone. Gate and licence stay what
        they were; at first they are False and odc-by.
        """
        with self._lock:
            repo = self._repos.setdefault((kind, repo_id), Repo(kind, repo_id))
            commit = committed(repo, files, branch, licence, message, self.lfs_above)
            repo.gated = repo.gated if gated is None else gated
            repo.commits[commit.sha] = commit
            repo.branches[branch] = commit.sha
            return commit.sha

    def move(self, kind: Kind, repo_id: str, branch: str, sha: str) -> None:
        """Points a branch at a commit."""
        with self._lock:
            repo = self._repos[kind, repo_id]
            repo.branches[branch] = repo.commits[sha].sha

    def tag(self, kind: Kind, repo_id: str, name: str, revision: str = "main") -> None:
        with self._lock:
            self._repos[kind, repo_id].tags[name] = self.sha(kind, repo_id, revision)

    def sha(self, kind: Kind, repo_id: str, revision: str = "main") -> str:
        with self._lock:
            return self._repos[kind, repo_id].at(revision).sha

    def grant(self, repo_id: str, token: str) -> None:
        """Accepts the terms of a gated repo for a token; any other token is one of an account without access."""
        self._granted.add((repo_id, token))

    def refuse(self, token: str) -> None:
        """Makes a token one that no account has."""
        self._refused.add(token)

    def fail(self, match: str, fault: Fault, times: int | None = 1) -> None:
        """Spoils the next `times` answers (None: all) to requests whose line, `GET /path?query`, contains `match`.

        Faults are tried in order of registration, and one at most spoils an answer.
        """
        with self._lock:
            self._faults.append(_Armed(match, fault, times))

    @property
    def requests(self) -> list[Request]:
        """All requests so far, the unanswered included, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def forget(self) -> None:
        """Empties `requests` and disarms all faults."""
        with self._lock:
            self._requests.clear()
            self._faults.clear()

    def connected(self, connection: socket.socket, yes: bool = True) -> None:
        with self._lock:
            self._connections.add(connection) if yes else self._connections.discard(connection)

    def failed(self, failure: BaseException) -> None:
        """Keeps what went wrong in the hub's code; that a client hung up is not such a thing."""
        if not isinstance(failure, OSError):
            self._failures.append(failure)

    def serve(self, handler: BaseHTTPRequestHandler, request: Request, answer: Callable[[Request], Reply]) -> None:
        with self._lock:
            self._requests.append(request)
            reply = answer(request)
            for armed in self._faults:
                if armed.times != 0 and armed.match in request.line:
                    spoiled = armed.fault(request, reply)
                    if spoiled is not None:
                        armed.times = armed.times and armed.times - 1
                        request.spoiled, reply = True, spoiled
                        break
        send(handler, request, reply, self._stopping)

    def _answer(self, request: Request) -> Reply:
        if request.token in self._refused:
            return error(401, None, "Invalid credentials in Authorization header")
        if match := RESOLVE.fullmatch(request.target):
            dataset, repo_id, revision, path = match.groups()
            return self._resolve(request, "dataset" if dataset else "model", repo_id, unquote(revision), unquote(path))
        match = API.fullmatch(request.target)
        if match is None:
            return error(404, None, "Sorry, we can't find the page you are looking for.")
        kind, repo_id, what, revision, path = match.groups()
        repo = self._repos.get((kind, repo_id))
        if repo is None:
            return _no_repo(request)
        if what == "refs":
            return json_reply(refs(repo))
        commit = repo.at(unquote(revision or "main"))
        if commit is None:
            return _no_revision(unquote(revision))
        if what == "tree":
            return self._tree(request, commit, unquote(path or ""))
        if what == "paths-info":
            asked = parse_qs(request.body.decode())
            paths, expand = asked.get("paths", []), asked.get("expand") == ["true"]
            return json_reply([entry for entry in entries(commit, "", True, expand) if entry["path"] in paths])
        return json_reply(info(repo, commit, "blobs" in request.query))

    def _tree(self, request: Request, commit: Commit, folder: str) -> Reply:
        wanted = {name: request.query.get(name, "").lower() == "true" for name in ("recursive", "expand")}
        listed = entries(commit, folder, **wanted)
        if folder and not listed:
            return _no_entry(f"{folder} does not exist on {commit.sha}", commit)
        after = base64.urlsafe_b64decode(request.query.get("cursor", "")).decode()
        left = [entry for entry in listed if entry["path"] > after]
        size = min(int(request.query.get("limit", self.page_size)), self.page_size)
        headers = {"X-Repo-Commit": commit.sha}
        if len(left) > size:
            cursor = base64.urlsafe_b64encode(left[size - 1]["path"].encode()).decode()
            query = urlencode({**request.query, "cursor": cursor})
            headers["Link"] = f'<{self.endpoint}{request.target}?{query}>; rel="next"'
        return json_reply(left[:size], headers)

    def _resolve(self, request: Request, kind: str, repo_id: str, revision: str, path: str) -> Reply:
        repo = self._repos.get((kind, repo_id))
        if repo is None:
            return _no_repo(request)
        if repo.gated and (repo_id, request.token) not in self._granted:
            return self._no_access(request, repo)
        commit = repo.at(revision)
        if commit is None:
            return _no_revision(revision)
        blob = commit.files.get(path)
        if blob is None:
            return _no_entry("Entry not found", commit)
        headers = {"X-Repo-Commit": commit.sha}
        if not blob.lfs:
            return file_reply(request, blob.data, {**headers, "ETag": f'"{blob.oid}"'})
        headers |= {"X-Linked-Size": str(len(blob.data)), "X-Linked-ETag": f'"{blob.sha256}"'}
        where = quote(f"/cdn/{kind}s/{repo_id}/{commit.sha}/{path}")
        expires = str(time.time() + self.link_seconds)
        link = f"{self.cdn}{where}?{urlencode({'Expires': expires, 'Signature': _signature(where, expires)})}"
        return Reply(302, {**headers, "Location": link, "Content-Type": "text/plain"}, f"Found: {link}".encode())

    def _no_access(self, request: Request, repo: Repo) -> Reply:
        what = f"Access to {repo.kind} {repo.id} is restricted"
        if request.token is None:
            return error(401, "GatedRepo", f"{what}. You must have access to it and be authenticated to access it.")
        page = f"{self.endpoint}/{'datasets/' if repo.kind == 'dataset' else ''}{repo.id}"
        return error(
            403, "GatedRepo", f"{what} and you are not in the authorized list. Visit {page} to ask for access."
        )

    def _answer_cdn(self, request: Request) -> Reply:
        expires, signature = request.query.get("Expires", "0"), request.query.get("Signature", "")
        if signature != _signature(request.target, expires) or float(expires) < time.time():
            return Reply(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
        kind, owner, name, sha, path = request.path.removeprefix("/cdn/").split("/", 4)
        blob = self._repos[kind.removesuffix("s"), f"{owner}/{name}"].commits[sha].files[path]
        return file_reply(request, blob.data, {"ETag": f'"{hashlib.md5(blob.data).hexdigest()}"'})


def _signature(path: str, expires: str) -> str:
    return hmac.new(SECRET, f"{path} {expires}".encode(), "sha256").hexdigest()


def _no_repo(request: Request) -> Reply:
    """The hub does not tell a stranger whether a repo exists."""
    if request.token is None:
        return error(401, "RepoNotFound", "Invalid username or password.")
    return error(404, "RepoNotFound", "Repository not found")


def _no_revision(revision: str) -> Reply:
    return error(404, "RevisionNotFound", f"Invalid rev id: {revision}")


def _no_entry(message: str, commit: Commit) -> Reply:
    return error(404, "EntryNotFound", message, {"X-Repo-Commit": commit.sha})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: LocalHub, name: str, answer: Callable[[Request], Reply]) -> None:
        self.hub, self.name, self.answer = hub, name, answer
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: socket.socket, client_address: tuple) -> None:
        self.hub.connected(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self.hub.connected(request, False)
        super().shutdown_request(request)

    def handle_error(self, request: socket.socket, client_address: tuple) -> None:
        self.hub.failed(sys.exception())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a header and a short body would wait for each other
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body = self.rfile.read(int(headers.get("content-length", 0)))
        where = {"server": self.server.name, "port": self.server.server_port, "target": parts.path}
        request = Request(
            **where, method=self.command, path=unquote(parts.path), query=query, headers=headers, body=body
        )
        self.server.hub.serve(self, request, self.server.answer)

    do_HEAD = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass
