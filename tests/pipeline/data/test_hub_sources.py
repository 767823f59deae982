"""Models of the hub, against a small hub of our own on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.data import fetch as assets
from pipeline.jobs.json_files import canonical
from pipeline.study.config.sources import RandomModel
from pipeline.study.config.specs import AssetSpec

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = {
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
}


class Hub(BaseHTTPRequestHandler):
    """What the hub's client asks of a server: descriptions, and files of a commit."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path in ("/api/models/me/good/revision/v1", f"/api/models/me/good/revision/{COMMIT}"):
            self.answer(json.dumps(self.describe("good")).encode())
        elif path == "/api/models/me/pickles/revision/main":
            self.answer(json.dumps(self.describe("pickles", [".bin", ".json"])).encode())
        elif path == f"/api/models/me/good/tree/{COMMIT}":
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": "0"}
                for file, content in self.files.items()
            ]
            self.answer(json.dumps(entries).encode())
        elif path.startswith(f"/me/good/resolve/{COMMIT}/"):
            self.answer(self.files[path.rpartition("/")[2]])
        elif path == "/api/datasets/me/text/revision/main":
            self.answer(json.dumps({"id": "me/text", "sha": COMMIT, "siblings": []}).encode())
        else:
            self.answer(b'{"error": "Repository not found"}', 404)

    def describe(self, name, suffixes=("",)):
        files = [
            {"rfilename": file, "size": len(content)}
            for file, content in self.files.items()
            if file.endswith(tuple(suffixes))
        ]
        return {"id": f"me/{name}", "sha": COMMIT, "siblings": files}

    def answer(self, content, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny random model: its asset and its folder."""
    out = tmp_path_factory.mktemp("original") / "asset.json"
    source = {"kind": "random", "architecture": "smollm3", "parameters": TINY}
    spec = AssetSpec(revision=1, model=RandomModel.model_validate(source))
    return assets.make_model(spec, out), assets.model_folder(out)


@pytest.fixture
def hub(model):
    """The running hub; ``asked`` is the list of the requests so far."""
    files = {path.name: path.read_bytes() for path in model[1].iterdir()}
    files |= {"pytorch_model.bin": b"pickle", "code.py": b"evil", "onnx/model.safetensors": b"no"}
    handler = type("Handler", (Hub,), {"files": files, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


def run(endpoint, spec, out, **environment):
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "fetch",
        "--spec",
        canonical(spec),
        "--cache",
        out.parent / "cache",
        "--out",
        out,
    ]
    changed = {"HF_ENDPOINT": endpoint, "HF_HOME": str(out.parent / "hf"), "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env=os.environ | changed | environment,
    )


def hub_model(repo, revision="main"):
    return {"revision": 1, "model": {"kind": "hub", "repo": repo, "revision": revision}}


@pytest.mark.slow
def test_a_model_is_fetched_without_pickles_or_code(hub, model, tmp_path):
    endpoint, asked = hub
    out = tmp_path / "m" / "asset.json"
    done = run(endpoint, hub_model("me/good", "v1"), out)
    assert done.returncode == 0, done.stderr
    asset = json.loads(out.read_text())
    assert asset["resolved_revision"] == COMMIT
    assert asset["folder"] == "model"
    for same in ("weights_sha256", "tokenizer_sha256", "d_model", "n_layers", "vocab_size"):
        assert asset[same] == model[0][same]
    found = sorted(
        path.name for path in assets.model_folder(tmp_path / "m" / "asset.json").iterdir()
    )
    assert found == sorted(path.name for path in model[1].iterdir())
    assert not any("pytorch_model.bin" in path or "code.py" in path for path in asked)


def test_a_repository_of_pickles_is_refused(hub, tmp_path):
    done = run(hub[0], hub_model("me/pickles"), tmp_path / "asset.json")
    assert done.returncode == 1
    assert "me/pickles at revision main: the repository has no safetensors" in done.stderr
    assert not (tmp_path / "asset.json").exists()
    assert not list(tmp_path.rglob("model"))


def test_no_network(tmp_path):
    done = run("http://127.0.0.1:9", hub_model("me/good"), tmp_path / "asset.json")
    assert done.returncode == 1
    assert "me/good at revision main: cannot be fetched from the hub" in done.stderr
    assert "check the network" in done.stderr
    assert "`hf download me/good --revision main`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cached_model_needs_no_network(model, tmp_path):
    """As `hf download` leaves it: a branch that names a commit, and links to the content."""
    repo = tmp_path / "hf" / "hub" / "models--me--good"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "blobs").mkdir()
    (repo / "snapshots" / COMMIT).mkdir(parents=True)
    for path in [*model[1].iterdir(), ROOT / "README.md"]:
        (repo / "blobs" / path.name).write_bytes(path.read_bytes())
        (repo / "snapshots" / COMMIT / path.name).symlink_to(repo / "blobs" / path.name)
    for number, offline in enumerate(("0", "1")):
        out = tmp_path / str(number) / "asset.json"
        home = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": offline}
        done = run("http://127.0.0.1:9", hub_model("me/good"), out, **home)
        assert done.returncode == 0, done.stderr
        assert "the hub cannot be reached; taken from its cache" in done.stderr + done.stdout
        asset = json.loads(out.read_text())
        assert asset["resolved_revision"] == COMMIT
        assert asset["weights_sha256"] == model[0]["weights_sha256"]
        folder = assets.model_folder(out)
        assert sorted(p.name for p in folder.iterdir()) == sorted(
            p.name for p in model[1].iterdir()
        )
        assert not any(path.is_symlink() for path in folder.iterdir())
