"""A local stand-in for the model hub's API: just what creating and filling a dataset asks."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "a" * 40


@dataclass
class Hub:
    """What it was told: repositories created, and the files that they hold now."""

    url: str
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    refuse: bool = False


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        body = self._body()
        hub, path = self.hub, self.path.split("?")[0]
        if hub.refuse:
            return self._reply(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            hub.created.append(json.loads(body))
            return self._reply(200, {"url": f"{hub.url}/datasets/me/set", "id": "me/set"})
        if path == "/api/validate-yaml":
            return self._reply(200, {"errors": [], "warnings": []})
        if "/preupload/" in path:
            names = [one["path"] for one in json.loads(body)["files"]]
            modes = ["lfs" if name.endswith(".parquet") else "regular" for name in names]
            files = [
                {"path": name, "uploadMode": mode, "shouldIgnore": False}
                for name, mode in zip(names, modes, strict=True)
            ]
            return self._reply(200, {"files": files})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{hub.url}/objects/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._reply(200, {"transfer": "basic", "objects": objects})
        if path.startswith("/objects/"):
            hub.objects[path.removeprefix("/objects/")] = body
            return self._reply(200, {})
        if "/commit/" in path:
            return self._commit(body)
        if found := re.match(r"/api/datasets/me/set/tree/\w+/?(.*)", path):
            return self._tree(found[1])
        if found := re.match(r"/datasets/me/set/resolve/\w+/(.*)", path):
            content = hub.files.get(found[1])
            if content is None:
                return self._reply(404, {}, {"X-Error-Code": "EntryNotFound"})
            return self._reply(200, content, {"ETag": '"x"', "X-Repo-Commit": COMMIT})
        if path.startswith("/api/datasets/me/set"):
            siblings = [{"rfilename": name} for name in hub.files]
            info = {"id": "me/set", "sha": COMMIT, "siblings": siblings, "private": False}
            return self._reply(200, info)
        return self._reply(404, {"error": "unknown"})

    do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _commit(self, body: bytes) -> None:
        for line in body.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                value = entry["value"]
                self.hub.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.hub.files[entry["value"]["path"]] = self.hub.objects[entry["value"]["oid"]]
        url = f"{self.hub.url}/datasets/me/set/commit/{COMMIT}"
        self._reply(200, {"success": True, "commitOid": COMMIT, "commitUrl": url})

    def _tree(self, folder: str) -> None:
        names = [name for name in self.hub.files if name.startswith(f"{folder}/" if folder else "")]
        if folder and not names:
            return self._reply(404, {}, {"X-Error-Code": "EntryNotFound"})
        files = [
            {"type": "file", "path": name, "size": len(self.hub.files[name]), "oid": "b" * 40}
            for name in names
        ]
        return self._reply(200, files)

    def _reply(
        self, code: int, data: bytes | list[Any] | dict[str, Any], headers: Any = None
    ) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def hub() -> Iterator[Hub]:
    """Run the stand-in while the block lasts."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield handler.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
