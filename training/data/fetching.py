"""Downloads data sets from PhysioNet, each file checked against the project's own list of SHA-256 sums.

A complete file is not downloaded again, so an interrupted download continues where it stopped.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.data.reporting import ReportProgress
from training.errors import DataError

PHYSIONET = "https://physionet.org/files"
_SUMS = "SHA256SUMS.txt"
_SUM = re.compile(r"([0-9a-f]{64}) [ *]?(\S+)")
_AT_ONCE = 4  # parallel downloads
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Published:
    """Where a set is on PhysioNet, and which files belong to it."""

    project: str  # project/version
    below: str = ""  # folder in the project that holds the records
    tables: tuple[str, ...] = ()  # other files, by their path in the project
    wanted: str = r".*\.(hea|dat|mat|atr)"  # pattern of the paths below that folder
    flat: bool = False  # save all files in one folder


SETS = {
    "mitdb": Published("mitdb/1.0.0", wanted=r"\d+\.(hea|dat|atr)"),
    "svdb": Published("svdb/1.0.0", wanted=r"\d+\.(hea|dat|atr)"),
    "vfdb": Published("vfdb/1.0.0", wanted=r"\d+\.(hea|dat|atr)"),
    "cudb": Published("cudb/1.0.0", wanted=r"cu\d+\.(hea|dat|atr)"),
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
FOLDERS = {"ptb-xl-500": "ptb-xl"}  # of sets whose folder has another name


def fetch(name: str, data: Path, progress: ReportProgress, source: str = PHYSIONET) -> int:
    """Download the missing files of one set to its folder below `data`, and return the number of its files.

    Raises
    ------
    DataError
        When the server cannot be reached, or a file does not match its SHA-256.
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
                progress(there.name, number, len(files))
        except BaseException:  # also Ctrl-C: else the remaining files would be downloaded first
            pool.shutdown(cancel_futures=True)
            raise
    return len(files)


def _files(published: Published, url: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 and the local path of each file, by its path in the project."""
    sums = _get(f"{url}/{_SUMS}", None, f"{_SUMS}.part", folder)
    listed = {path: digest for digest, path in _SUM.findall(sums.read_text(encoding="utf-8"))}
    sums.unlink()
    wanted = re.compile(re.escape(published.below) + published.wanted)
    files = {}
    for path, digest in listed.items():
        if path in published.tables or wanted.fullmatch(path):
            local = PurePosixPath(path.removeprefix(published.below))
            # The list comes from the network: it must not write outside the folder.
            if local.is_absolute() or ".." in local.parts:
                raise DataError(f"{url}/{_SUMS}: names a file outside the set: {path!r}")
            files[path] = digest, local.name if published.flat else str(local)
    if not files:
        raise DataError(
            f"{url}/{_SUMS}: lists no file of this set; does the source have the layout of PhysioNet's files?"
        )
    return files


def _get(url: str, digest: str | None, name: str, folder: Path) -> Path:
    """Download one file, unless a complete copy is there."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # else it logs every file
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_S)
    try:
        return Path(pooch.retrieve(url, digest, fname=name, path=folder, downloader=downloader))
    except requests.HTTPError as exc:
        raise DataError(f"{url}: the server refused the download ({exc})") from exc
    except requests.RequestException as exc:
        raise DataError(
            f"{url}: cannot be reached ({type(exc).__name__}); without a network, copy the set to {folder}"
        ) from exc
    except ValueError as exc:
        raise DataError(f"{url}: the downloaded file does not match its SHA-256; run the command again") from exc
    except OSError as exc:
        raise DataError(f"{folder / name}: cannot be written ({exc.strerror or exc})") from exc
