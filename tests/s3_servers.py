"""A server that speaks S3, on this machine, and what may go wrong on the way to it."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sagsae.activations.storage import Folder, Storage

KEY, SECRET = "AKIAEXAMPLEKEY", "a-secret-that-must-appear-nowhere"
MOTO = """
import sys
from moto.moto_server import werkzeug_app as moto
from werkzeug.serving import run_simple
app = moto.DomainDispatcherApplication(moto.create_backend_app)
run_simple("127.0.0.1", int(sys.argv[1]), app, request_handler=moto.MotoRequestHandler)
"""
"""One request after the other: its own server looks and writes in two steps, between which another
thread may write."""
START_SECONDS = 120.0


def environment(endpoint: str) -> dict[str, str]:
    """What tells a program where its buckets are, as a user would."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A running server; its endpoint."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", MOTO, str(port)], stdout=log, stderr=log)
        try:
            _wait_for(process, port)
            yield endpoint
        finally:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)


def folders(place: Storage) -> list[str]:
    """Names of the folders directly in a place."""
    if isinstance(place, Folder):
        return sorted(path.name for path in place.path.iterdir() if path.is_dir())
    found = place._client.list_with_delimiter(None)["common_prefixes"]
    return sorted(path.rstrip("/").rpartition("/")[2] for path in found)


def make_bucket(name: str) -> None:
    """Make a bucket on the server that the environment names."""
    connection = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].partition("//")[2])
    connection.request("PUT", f"/{name}", headers={"Content-Length": "0"})
    assert connection.getresponse().status < 400
    connection.close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed in the middle of a request is no error here."""


class Proxy:
    """Passes requests on to a server, and may lose the answer or refuse.

    Attributes:
        endpoint: where it listens.
        lose: asked with method and path: whether the server's answer is dropped.
        refuse: asked likewise: whether the server is not asked, and 503 is the answer.

    Args:
        target: endpoint of the server.
    """

    def __init__(self, target: str) -> None:
        self.lose: Callable[[str, str], bool] = lambda method, path: False
        self.refuse: Callable[[str, str], bool] = lambda method, path: False
        self._target = target.removeprefix("http://")
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.refuse(self.command, self.path):
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                lost = proxy.lose(self.command, self.path)
                connection = http.client.HTTPConnection(proxy._target, timeout=60)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if lost:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                head = self.command == "HEAD"
                length = answer.getheader("Content-Length") if head else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                if not head:
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        return Handler


def once(method: str, part: str) -> Callable[[str, str], bool]:
    """True for the first request of a method whose path has some text in it."""
    left = [True]

    def decide(name: str, path: str) -> bool:
        hit = left[0] and name == method and part in path
        left[0] = left[0] and not hit
        return hit

    return decide
