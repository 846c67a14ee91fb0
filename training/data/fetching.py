"""Downloads data sets from PhysioNet, each file checked against the project's own list of SHA-256 sums.

A file that is there and whole is not downloaded again, so a run that broke off goes on where it was. Knows where
files of a set lie there and where they belong here; nothing of what they mean.
"""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.errors import DataError

PHYSIONET = "https://physionet.org/files"
_SUMS = "SHA256SUMS.txt"
_SUM = re.compile(r"([0-9a-f]{64}) [ *]?(\S+)")
_AT_ONCE = 4
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Published:
    """Where a set lies on PhysioNet, and which of its files belong to it."""

    project: str  # project/version
    below: str = ""  # folder there that holds the records
    tables: tuple[str, ...] = ()  # further files, by their path in the project
    wanted: str = r".*\.(hea|dat|mat|atr)"  # of the path below that folder
    flat: bool = False  # no folders here


SETS = {
    "mitdb": Published("mitdb/1.0.0", wanted=r"\d+\.(hea|dat|atr)"),
    "nstdb": Published("nstdb/1.0.0", wanted=r"(bw|ma|em)\.(hea|dat)"),
    "cinc2017": Published("challenge-2017/1.0.0", "training/", ("REFERENCE-v3.csv",), flat=True),
    "ptb-xl": Published(
        "ptb-xl/1.0.3", tables=("ptbxl_database.csv", "scp_statements.csv"), wanted=r"records100/.*\.(hea|dat)"
    ),
    "ptb-xl-500": Published(
        "ptb-xl/1.0.3", tables=("ptbxl_database.csv", "scp_statements.csv"), wanted=r"records500/.*\.(hea|dat)"
    ),
    "cpsc2018": Published("challenge-2020/1.0.2", "training/cpsc_2018/"),
    "cinc2020": Published("challenge-2020/1.0.2", "training/", wanted=r"(?!ptb-xl/).*\.(hea|mat)"),
    "cinc2021": Published("challenge-2021/1.0.3", "training/", wanted=r"(?!ptb-xl/).*\.(hea|mat)"),
}
FOLDERS = {"ptb-xl-500": "ptb-xl"}  # where a set's name is not its folder's
Progress = Callable[[int, int, str], None]


def fetch(name: str, data: Path, progress: Progress, source: str = PHYSIONET) -> int:
    """Download what is missing of one set to its folder below `data`, and return the number of its files.

    Raises
    ------
    DataError
        When the server cannot be reached, or sends what does not match its sums.
    """
    published = SETS[name]
    folder = data / FOLDERS.get(name, name)
    folder.mkdir(parents=True, exist_ok=True)
    files = _files(published, f"{source}/{published.project}", folder)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        url = f"{source}/{published.project}"
        done = pool.map(lambda path: _get(f"{url}/{path}", *files[path], folder), files)
        try:
            for number, there in enumerate(done, 1):
                progress(number, len(files), there.name)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(files)


def _files(published: Published, url: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Return for each file's path in the project its sum and its path here."""
    sums = _get(f"{url}/{_SUMS}", None, f"{_SUMS}.part", folder)
    listed = {path: digest for digest, path in _SUM.findall(sums.read_text(encoding="utf-8"))}
    sums.unlink()
    wanted = re.compile(re.escape(published.below) + published.wanted)
    files = {}
    for path, digest in listed.items():
        if path in published.tables or wanted.fullmatch(path):
            here = PurePosixPath(path.removeprefix(published.below))
            if here.is_absolute() or ".." in here.parts:
                raise DataError(f"{url}/{_SUMS}: names a file outside the set: {path!r}")
            files[path] = digest, here.name if published.flat else str(here)
    if not files:
        raise DataError(f"{url}/{_SUMS}: names no file of this set; is the source laid out as PhysioNet's files?")
    return files


def _get(url: str, digest: str | None, name: str, folder: Path) -> Path:
    """Download one file, unless it is there and whole."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_S)
    try:
        return Path(pooch.retrieve(url, digest, fname=name, path=folder, downloader=downloader))
    except requests.HTTPError as exc:
        raise DataError(f"{url}: the server refuses ({exc})") from exc
    except requests.RequestException as exc:
        raise DataError(
            f"{url}: cannot be reached ({type(exc).__name__}); without a network, copy the set to {folder}"
        ) from exc
    except ValueError as exc:
        raise DataError(f"{url}: what came does not match its SHA-256; run the command again") from exc
    except OSError as exc:
        raise DataError(f"{folder / name}: cannot be written ({exc.strerror or exc})") from exc
