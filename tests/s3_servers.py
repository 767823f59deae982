"""Servers that speak S3, on this machine: a faithful one, one that tears, one that ignores."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
COMMANDS: dict[str, Callable[[int, Path], list[str]]] = {
    "moto": lambda port, _: ["-c", MOTO, str(port)],
    "localbucket": lambda port, folder: ["-m", "localbucket", "--port", str(port), str(folder)],
    "nanio": lambda port, folder: [
        *("-m", "nanio", "serve", "--data-dir", str(folder)),
        *("--host", "127.0.0.1", "--port", str(port)),
    ],
}
"""What starts a server. moto keeps S3's rules; localbucket keeps part of an object whose body is
cut short; nanio ignores the conditions of a put."""
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
def server(kind: str, folder: Path) -> Iterator[str]:
    """A running server; its endpoint."""
    port = free_port()
    keys = {"NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
    endpoint = f"http://127.0.0.1:{port}"
    with (folder / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *COMMANDS[kind](port, folder)],
            env=os.environ | keys,
            stdout=log,
            stderr=log,
        )
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


def make_bucket(name: str) -> None:
    """Make a bucket on the server that the environment names."""
    connection = http.client.HTTPConnection(os.environ["AWS_ENDPOINT_URL"].partition("//")[2])
    connection.request("PUT", f"/{name}", headers={"Content-Length": "0"})
    status = connection.getresponse().status
    connection.close()
    if status >= 400:  # it asks for a signature, and boto3 takes a second to be imported
        import boto3

        boto3.client("s3").create_bucket(Bucket=name)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed in the middle of a request is no error here."""


class Proxy:
    """Passes requests on to a server, and may lose the answer or refuse.

    Attributes:
        endpoint: where it listens.
        seen: method and path of every request, in order.
        lose: asked with method and path: whether the server's answer is dropped.
        refuse: asked likewise: whether the server is not asked, and 503 is the answer.

    Args:
        target: endpoint of the server.
        single_deletes: the server does not know deletes of several objects in one request.
    """

    def __init__(self, target: str, *, single_deletes: bool = False) -> None:
        self._single_deletes = single_deletes
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
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

    def delete_one_by_one(self, path: str, body: bytes) -> bytes:
        """Deletes as single requests, for a server that does not know them together; the answer."""
        keys = re.findall(rb"<Key>([^<]+)</Key>", body)
        for key in keys:
            connection = http.client.HTTPConnection(self._target, timeout=60)
            connection.request("DELETE", f"{path.partition('?')[0].rstrip('/')}/{key.decode()}")
            connection.getresponse().read()
            connection.close()
        deleted = b"".join(b"<Deleted><Key>%s</Key></Deleted>" % key for key in keys)
        return b"<DeleteResult>%s</DeleteResult>" % deleted

    def requests(self, method: str, part: str = "") -> list[str]:
        """Paths of the requests of one method that have some text in them."""
        return [path for name, path in self.seen if name == method and part in path]

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                proxy.headers.append(dict(self.headers))
                if proxy.refuse(self.command, self.path):
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if proxy._single_deletes and self.path.endswith("?delete"):
                    content = proxy.delete_one_by_one(self.path, body)
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
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
