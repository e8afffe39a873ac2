"""A Kaggle on loopback for the tests: speaks the calls that the unmodified client makes, and fails on demand.

It answers as a plain HTTP proxy too, since the client knows only `http://localhost` without a port: the
tests set HTTP_PROXY to its address. Every host that the client asks for is kept in `hosts`.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

USER, KEY = "tester", "0123456789abcdef0123456789abcdef"
FOREIGN = ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME", "NO_PROXY", "no_proxy", "ALL_PROXY",
           "all_proxy", "VERBOSE", "VERBOSE_OUTPUT")  # fmt: skip
DATASET = "datasets.DatasetApiService"


class Kaggle:
    """The site's state: `fail[METHOD]` is a status, "cut before" or "cut after" (the work, not the answer).

    `score` is given to each submission once it was listed `pending_lists` times as PENDING.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, as for the next test."""
        self.submissions: list[dict[str, Any]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.fail: dict[str, int | str] = {}
        self.message = "refused by the test"
        self.status = "COMPLETE"
        self.score = "0.81234"
        self.pending_lists = 1
        self.allowed = 5
        self.made_before = 0
        self.archive = b""
        self.hosts: set[str] = set()
        self.calls: list[str] = []

    def start_submission_upload(self, body: dict[str, Any]) -> dict[str, Any]:
        token = f"token-{len(self.uploads)}"
        self.uploads[token] = {"name": body["fileName"], "data": None}
        return {"token": token, "createUrl": f"http://localhost/upload/{token}?signature=topsecretsignature"}

    def create_submission(self, body: dict[str, Any]) -> dict[str, Any]:
        upload = self.uploads[body["blobFileTokens"]]
        ref = 1000 + len(self.submissions)
        self.submissions.insert(
            0,
            {
                "ref": ref,
                "fileName": upload["name"],
                "date": "2030-01-01T00:00:00Z",
                "description": body.get("submissionDescription", ""),
                "status": "PENDING",
                "publicScore": "",
                "privateScore": "",
                "totalBytes": len(upload["data"]),
                "lists": 0,
            },
        )
        return {"message": "Successfully submitted to Loopback", "ref": ref}

    def list_submissions(self, body: dict[str, Any]) -> dict[str, Any]:
        for item in self.submissions:
            item["lists"] += 1
            if item["lists"] > self.pending_lists and item["status"] == "PENDING":
                item["status"] = self.status
                item["publicScore"] = self.score if self.status == "COMPLETE" else ""
        shown = [{k: v for k, v in item.items() if k != "lists"} for item in self.submissions]
        return {"submissions": shown, "nextPageToken": ""}

    def get_submission_limits(self, body: dict[str, Any]) -> dict[str, Any]:
        made = self.made_before + len(self.submissions)
        return {"numToday": made, "numTotal": made, "numAllowedNow": max(0, self.allowed - made)}

    def get_dataset_metadata(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"info": {"licenses": [{"name": "CC0-1.0"}]}, "errorMessage": ""}


class Handler(BaseHTTPRequestHandler):
    """One request, of the API, of an upload, or of a file; `kaggle` is set on the class by `serve`."""

    kaggle: Kaggle
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        """Answer an API call."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, _, _, service, method = self.asked().split("/", 4)
        if self.failed(method, "before"):
            return
        if not (service == DATASET or self.known()):
            self.answer(401, {"code": 401, "message": "Unauthenticated"})
        elif method.startswith("Download"):
            self.answer(
                302, {}, {"Location": "http://localhost/files/archive.zip?signature=topsecretsignature"}
            )
        else:
            name = "".join("_" + c.lower() if c.isupper() else c for c in method).lstrip("_")
            result = getattr(self.kaggle, name)(json.loads(body or b"{}"))
            if not self.failed(method, "after"):
                self.answer(200, result)

    def do_PUT(self) -> None:
        """Take an uploaded file."""
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.asked().rpartition("/")[2]
        if not self.failed("upload", "before"):
            self.kaggle.uploads[token]["data"] = data
            self.answer(200, {})

    def do_GET(self) -> None:
        """Send the archive."""
        self.asked()
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(self.kaggle.archive)))
        self.send_header("Last-Modified", "Tue, 01 Jan 2030 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(self.kaggle.archive)

    def asked(self) -> str:
        """Return the path that was asked for, and remember the host."""
        parts = urlsplit(self.path)
        self.kaggle.hosts.add(parts.hostname or "")
        self.kaggle.calls.append(parts.path.rpartition("/")[2])
        return parts.path

    def known(self) -> bool:
        """Tell whether the request carries the tester's key."""
        wanted = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def failed(self, method: str, when: str) -> bool:
        """Fail if the test asked for it: with a status before the work, or by cutting the connection."""
        wish = self.kaggle.fail.get(method)
        if isinstance(wish, int) and when == "before":
            self.answer(wish, {"code": wish, "message": self.kaggle.message})
            return True
        if wish == f"cut {when}":
            self.close_connection = True
            self.connection.close()
            return True
        return False

    def answer(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        """Send JSON."""
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve() -> Iterator[tuple[Kaggle, str]]:
    """Run the site on a free port while the block runs; gives its state and its address."""
    kaggle = Kaggle()
    handler = type("BoundHandler", (Handler,), {"kaggle": kaggle})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kaggle, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def talk_only_to(address: str, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client talk to this server only, as the tester, and see nobody's credentials."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, address)
