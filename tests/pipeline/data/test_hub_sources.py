"""Models of the hub, against a small hub of our own on this machine."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.data import fetch as assets
from pipeline.data.wheels import AssetError
from tests.helpers.assets import made_model, model_spec, random_source

ROOT = Path(__file__).resolve().parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


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
            self.answer(json.dumps(self.describe()).encode())
        elif path == f"/api/models/me/good/tree/{COMMIT}":
            entries = [
                {"type": "file", "path": file, "size": len(content), "oid": "0"}
                for file, content in self.files.items()
            ]
            self.answer(json.dumps(entries).encode())
        elif path.startswith(f"/me/good/resolve/{COMMIT}/"):
            self.answer(self.files[path.rpartition("/")[2]])
        else:
            self.answer(b'{"error": "Repository not found"}', 404)

    def describe(self):
        files = [{"rfilename": file, "size": len(x)} for file, x in self.files.items()]
        return {"id": "me/good", "sha": COMMIT, "siblings": files}

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
    return made_model(model_spec(random_source()), out), assets.model_folder(out)


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


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Fetches a model of a hub at an endpoint, whose client keeps its cache in a folder."""

    def fetched(endpoint, repo, revision="main", offline=False):
        """The content of asset.json, and the model's folder."""
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        source = {"kind": "hub", "repo": repo, "revision": revision}
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}" / "asset.json"
        asset = made_model(model_spec(source), out)
        return asset, assets.model_folder(out)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return fetched


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_model_is_fetched_without_pickles_or_code(hub, model, fetched):
    endpoint, asked = hub
    asset, folder = fetched(endpoint, "me/good", "v1")
    assert asset["resolved_revision"] == COMMIT
    assert asset["folder"] == "model"
    for same in ("weights_sha256", "tokenizer_sha256", "d_model", "n_layers", "vocab_size"):
        assert asset[same] == model[0][same]
    assert names(folder) == names(model[1])
    assert not any("pytorch_model.bin" in path or "code.py" in path for path in asked)


def test_no_network(fetched):
    with pytest.raises(AssetError, match=r"me/good at revision main: cannot .* check the network"):
        fetched("http://127.0.0.1:9", "me/good")


def test_a_cached_model_needs_no_network(model, fetched, tmp_path):
    """As `hf download` leaves it: a branch that names a commit, and links to the content."""
    repo = tmp_path / "hub" / "models--me--good"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    (repo / "blobs").mkdir()
    (repo / "snapshots" / COMMIT).mkdir(parents=True)
    for path in [*model[1].iterdir(), ROOT / "README.md"]:
        (repo / "blobs" / path.name).write_bytes(path.read_bytes())
        (repo / "snapshots" / COMMIT / path.name).symlink_to(repo / "blobs" / path.name)
    for offline in (False, True):
        asset, folder = fetched("http://127.0.0.1:9", "me/good", offline=offline)
        assert asset["resolved_revision"] == COMMIT
        assert asset["weights_sha256"] == model[0]["weights_sha256"]
        assert names(folder) == names(model[1])
        assert not any(path.is_symlink() for path in folder.iterdir())
