"""`ecg-train fetch` against a local server with the layout of PhysioNet."""

import functools
import gc
import hashlib
import http.server
import sys
import threading

import pytest

from training.__main__ import main

# pooch leaves the connection of a refused request to the garbage collector, which warns of it
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
FILES = {"100.hea": b"100 1 360 4\n", "100.dat": bytes(8), "100.atr": b"\0\0", "x_mitdb/x_108.dat": b"no record"}


@pytest.fixture(autouse=True)
def _collected():
    """Collect connections here and not in a later test, which would fail."""
    yield
    gc.collect()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def physionet(tmp_path):
    """Serve mitdb and challenge-2017; return the address and the folder that is served."""
    root = tmp_path / "served"
    (root / "mitdb/1.0.0/x_mitdb").mkdir(parents=True)
    write(root / "mitdb/1.0.0", FILES)
    cinc = {"REFERENCE-v3.csv": b"A00001,N\n", "training/A00/A00001.hea": b"A00001 1 300 4\n", "sample/A9.hea": b"-"}
    (root / "challenge-2017/1.0.0/training/A00").mkdir(parents=True)
    (root / "challenge-2017/1.0.0/sample").mkdir()
    write(root / "challenge-2017/1.0.0", cinc)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=root)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", root
        server.shutdown()
        thread.join()


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()} {name}\n" for name, content in files.items())
    (folder / "SHA256SUMS.txt").write_text(sums)


@pytest.fixture
def fetch(tmp_path, monkeypatch, capsys):
    """Return a function that fetches a set into `data`, and gives the exit code and what was written."""

    def command(name, source):
        words = ["ecg-train", "fetch", name, "--data", str(tmp_path / "data"), "--source", source]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return command


def test_exactly_the_files_of_the_set_are_downloaded(physionet, fetch, tmp_path):
    code, text, error = fetch("mitdb", physionet[0])
    assert code == 0, error
    assert "mitdb: 3 files" in text
    here = tmp_path / "data/mitdb"
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {
        name: content for name, content in FILES.items() if "/" not in name
    }


def test_complete_files_are_not_downloaded_again(physionet, fetch, tmp_path):
    fetch("mitdb", physionet[0])
    here = tmp_path / "data/mitdb"
    (here / "100.dat").write_bytes(b"cut off")
    before = (here / "100.hea").stat().st_mtime_ns
    (physionet[1] / "mitdb/1.0.0/100.hea").unlink()  # it would fail if it were asked for again
    code, _, error = fetch("mitdb", physionet[0])
    assert code == 0, error
    assert (here / "100.dat").read_bytes() == FILES["100.dat"]
    assert (here / "100.hea").stat().st_mtime_ns == before


def test_folders_have_the_layout_that_the_readers_expect(physionet, fetch, tmp_path):
    assert fetch("cinc2017", physionet[0])[0] == 0
    here = tmp_path / "data/cinc2017"
    assert {str(path.relative_to(here)) for path in here.rglob("*")} == {"REFERENCE-v3.csv", "A00001.hea"}


def test_errors_are_one_clear_line(physionet, fetch):
    url, root = physionet
    (root / "mitdb/1.0.0/100.dat").write_bytes(b"another")
    (root / "challenge-2017/1.0.0/SHA256SUMS.txt").write_text(f"{'0' * 64} training/../../../evil.hea\n")
    for name, source, words in (
        ("mitdb", url, "does not match its SHA-256"),
        ("cinc2017", url, "names a file outside the set"),
        ("ptb-xl", url, "404"),
        ("nstdb", "http://127.0.0.1:9", "cannot be reached"),
    ):
        code, _, error = fetch(name, source)
        assert code == 1
        assert words in error.replace("\n", " ")
        assert "Traceback" not in error
