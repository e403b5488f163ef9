"""Hub ids, against a local server that speaks the hub's paths."""

from __future__ import annotations

import hashlib
import http.server
import json
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Run

CONFIG = {"model_type": "gpt2", "n_embd": 6, "n_head": 3, "n_layer": 2, "n_positions": 7, "vocab_size": 11}
TOTAL = 11 * 6 + 7 * 6 + 2 * (12 * 36 + 13 * 6) + 12
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(24)
FILES = {
    "/org/model/resolve/main/config.json": json.dumps(CONFIG).encode(),
    "/org/model/resolve/v2/config.json": json.dumps(CONFIG | {"n_layer": 3}).encode(),
    "/org/weights/resolve/main/model.safetensors": WEIGHTS,
}


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves the files above, gates one repository, knows no other."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)  # type: ignore[attr-defined]
        if path.startswith(("/org/gated", "/api/models/org/gated")):
            return self.refuse(403, "GatedRepo")
        if path.startswith("/org/model/resolve/") and path not in FILES:
            return self.refuse(404, "RevisionNotFound")
        if path.startswith("/org/weights/resolve/") and path not in FILES:
            return self.refuse(404, "EntryNotFound")
        if path not in FILES:
            return self.refuse(404, "RepoNotFound")
        content = FILES[path]
        span = self.headers.get("Range")
        first, last = 0, len(content) - 1
        if span:
            first, last = (int(end) for end in span.removeprefix("bytes=").split("-"))
            last = min(last, len(content) - 1)
        part = content[first : last + 1]
        self.send_response(206 if span else 200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(part)))
        if span:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        if body:
            self.wfile.write(part)
        return None

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that points at a running hub with an empty cache."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "127.0.0.1",
    }
    server.shutdown()
    server.server_close()


def test_a_hub_id_counts_by_its_config(hub: dict[str, str], run: Run) -> None:
    answer = json.loads(run("count", "org/model", "-f", "json", env=hub).stdout)
    assert answer["parameters"]["total"] == TOTAL
    assert answer["model"]["source"] == "org/model"


def test_a_revision_is_respected(hub: dict[str, str], run: Run) -> None:
    answer = json.loads(run("count", "org/model@v2", "-f", "json", env=hub).stdout)
    assert answer["parameters"]["total"] == TOTAL + 12 * 36 + 13 * 6
    assert run("count", "org/model@v3", env=hub).returncode == 4


def test_what_was_fetched_is_there_offline(hub: dict[str, str], run: Run) -> None:
    offline = hub | {"HF_HUB_OFFLINE": "1"}
    before = run("count", "org/model", env=offline)
    assert before.returncode == 4
    assert "cache" in before.stderr
    assert run("count", "org/model", env=hub).returncode == 0
    assert run("count", "org/model", env=offline).returncode == 0


def test_a_repository_without_a_config_counts_by_its_headers(hub: dict[str, str], run: Run) -> None:
    done = run("count", "org/weights", "-f", "json", env=hub)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parameters"]["total"] == 6


@pytest.mark.parametrize(("model", "says"), [("org/gated", "gated"), ("org/missing", "no such repository")])
def test_a_repository_that_is_closed_or_missing_exits_4_and_says_which(model: str, says: str, hub: dict[str, str], run: Run) -> None:
    done = run("count", model, env=hub)
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    assert says in done.stderr


def test_without_network_it_exits_4(tmp_path: Path, run: Run) -> None:
    done = run("count", "org/model", env={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache"), "no_proxy": "127.0.0.1"})
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)


def test_without_the_extra_it_exits_4_and_says_what_to_install(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['huggingface_hub'] = None; sys.argv = ['paramcalc', 'count', 'org/model']"
    code = f"{blocked}\nfrom paramcalc.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 4
    assert "paramcalc[hub]" in done.stderr


def test_a_path_and_a_bundled_name_never_ask_the_hub(gpt3: Path, hub: dict[str, str], run: Run) -> None:
    closed = hub | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    (gpt3.parent / "org").mkdir()
    (gpt3.parent / "org" / "model").write_text(gpt3.read_text())
    assert run("count", "org/model", env=closed).returncode == 0
    assert run("count", "gpt2", env=closed).returncode == 0
    assert run("count", "specs/missing.yaml", env=closed).returncode == 4
