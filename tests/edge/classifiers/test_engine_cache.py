"""The engine cache returns an engine only if its key matches, it is intact, and this user wrote it."""

import stat
from pathlib import Path

import msgspec
import pytest

from edge.classifiers.engine_cache import EngineCache, EngineKey, Gpu, default_folder
from edge.core.errors import BundleError

KEY = EngineKey(graph_sha256="ab", tensorrt="10.3.0", gpu=Gpu("Orin", "8.7"), precision="int8_fp16", max_batch=16)
ENGINE = b"\x00an engine\n" * 99


@pytest.fixture
def cache(tmp_path):
    cache = EngineCache(tmp_path / "engines")
    cache.store("ecg-nat/rhythm", KEY, ENGINE)
    return cache


def test_a_stored_engine_is_found(cache):
    assert cache.find("ecg-nat/rhythm", KEY) == ENGINE
    assert cache.find("another", KEY) is None


@pytest.mark.parametrize(
    "change",
    [
        {"graph_sha256": "ac"},
        {"tensorrt": "10.4.0"},
        {"gpu": Gpu("Thor", "8.7")},
        {"gpu": Gpu("Orin", "11.0")},
        {"precision": "fp16"},
        {"max_batch": 8},
    ],
)
def test_with_any_change_of_the_key_the_engine_is_not_found(cache, change):
    other = msgspec.structs.replace(KEY, **change)
    assert cache.find("ecg-nat/rhythm", other) is None
    cache.store("ecg-nat/rhythm", other, b"other")
    assert cache.find("ecg-nat/rhythm", other) == b"other"


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-1], lambda raw: raw[:-1] + b"x", lambda _: b"", lambda _: b"{}\n"]
)
def test_a_damaged_engine_is_not_found(cache, damage):
    path = cache.engine_path("ecg-nat/rhythm", KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.find("ecg-nat/rhythm", KEY) is None


def test_names_stay_within_the_folder(cache, tmp_path):
    assert cache.engine_path("../../x", KEY).parent == tmp_path / "engines"
    assert {path.parent for path in tmp_path.rglob("*.engine")} == {tmp_path / "engines"}


def test_a_write_that_fails_leaves_the_old_engine_and_nothing_else(cache, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BundleError, match="No space left"):
        cache.store("ecg-nat/rhythm", KEY, b"new")
    assert cache.find("ecg-nat/rhythm", KEY) == ENGINE
    assert len(list(cache.engine_path("ecg-nat/rhythm", KEY).parent.iterdir())) == 1


def test_a_folder_that_others_may_write_to_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(BundleError, match="others may write"):
        EngineCache(folder)
    assert stat.S_IMODE((EngineCache(tmp_path / "new") and (tmp_path / "new")).stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="no place for TensorRT engines"):
        EngineCache(tmp_path / "file" / "engines")


def test_timings_are_kept_for_each_gpu_and_version(cache):
    assert cache.timing_cache(KEY) == b""
    cache.store_timing_cache(KEY, b"fast")
    assert cache.timing_cache(KEY) == b"fast"
    assert cache.timing_cache(msgspec.structs.replace(KEY, tensorrt="10.4.0")) == b""


def test_where_engines_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/ecg-edge:/var/lib/other")
    assert default_folder() == Path("/var/lib/ecg-edge/engines")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "ecg-nat" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "ecg-nat" / "engines"
