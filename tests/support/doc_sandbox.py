"""Where the code blocks of one page run: a home of their own, a broker of their own, and no way to change the machine.

Paths such as /etc/ecg-edge lead below the sandbox. `sudo` runs its command as we are. Programs that would change the
machine are stand-ins that check their arguments (`doc_programs/stub.py`). `systemctl` starts the real service and a
real Mosquitto with the files that the page has written.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from background import Background
from doc_blocks import ROOT, Block
from waiting import free_port

PROGRAMS = Path(__file__).parent / "doc_programs"
STUBS = ("systemctl", "journalctl", "apt-get", "usermod", "nano", "git", "nvpmodel", "jetson_clocks", "podman", "pip")
STUBS += ("mosquitto_pub", "mosquitto_sub")
OURS = ("ecg-edge", "ecg-train", "ecg-calibrate")
MOVED = ("/etc/ecg-edge", "/etc/mosquitto", "/opt/ecg-nat", "/var/lib/ecg-edge")
STARTS_BROKER = re.compile(r"mosquitto -p|systemctl (enable --now|restart|start) mosquitto")
_PATIENCE_S = 60.0


class Sandbox:
    """One for each page.

    Parameters
    ----------
    folder : empty, of this test
    text : all code of the page; without a line that starts a broker, one runs from the beginning
    """

    def __init__(self, folder: Path, text: str) -> None:
        self.root, self.work, self._bin = folder / "root", folder / "work", folder / "bin"
        self._log = folder / "asked.jsonl"
        self._running: dict[str, Background] = {}
        self.port = free_port()
        for each in (*(self.root / name[1:] for name in MOVED), self.work, self._bin, folder / "home/my-records"):
            each.mkdir(parents=True)
        self.environment = {
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            "HOME": str(folder / "home"),
            "USER": "reader",
            "PYTHONPATH": f"{PROGRAMS / 'site'}:{ROOT}",
            "PYTHONUNBUFFERED": "1",
            "ECG_DATA": os.environ.get("ECG_DATA", str(Path.home() / ".cache/ecg-nat/data")),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            "LC_ALL": "C.UTF-8",
            "CREDENTIALS_DIRECTORY": str(self.root / "etc/ecg-edge/tls"),  # where systemd hands secrets over
            "DOCS_ROOT": str(ROOT),
            "DOCS_PYTHON": sys.executable,
            "DOCS_LOG": str(self._log),
            "DOCS_BROKER_PORT": str(self.port),
        }
        self._fill_bin()
        self._link_checkout()
        self._install_service()
        if not STARTS_BROKER.search(text):
            self._start_mosquitto(self._plain_listener())

    def moved(self, text: str) -> str:
        """Return a text in which the paths of the system lead below the sandbox."""
        for path in MOVED:
            text = re.sub(rf"(?<![\w/]){path}(?![\w-])", f"{self.root}{path}", text)
        return text

    def write(self, block: Block) -> Path:
        """Write a block to the file that its title names."""
        path = self.work / self.moved(block.title)
        path.write_text(self.moved(block.text), encoding="utf-8")
        return path

    def run(self, block: Block) -> str:
        """Run a shell block to its end and return its output; fail with it where the exit code is not as expected."""
        self._log.write_text("")
        arguments_only = {"DOCS_ARGUMENTS_ONLY": "1"} if "arguments" in block.marker.words else {}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.moved(block.text)],
            cwd=self.work,
            env=self.environment | arguments_only,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_PATIENCE_S,
        )
        assert done.returncode == block.marker.code, f"{block} ended with {done.returncode}:\n{done.stdout}"
        if not arguments_only:
            self._act_as_systemd()
        return done.stdout

    def start(self, block: Block) -> None:
        """Start a block that runs until the page ends, and wait until it is ready."""
        program = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euo", "pipefail", "-c"]
        before = self._connections()
        process = self._start(str(block), [*program, self.moved(block.text)])
        if block.marker.until == "connected":
            process.wait_for(lambda: self._connections() > before, "a connection to the broker")
            time.sleep(0.3)  # and its subscription
        elif block.marker.until:
            process.wait_for_text(block.marker.until)

    def expect(self, block: Block) -> None:
        """Fail unless a background block prints what it is expected to."""
        self._running[str(block)].wait_for_text(block.marker.expect)

    def close(self) -> None:
        """End what still runs, the broker last."""
        for name in sorted(self._running, key=lambda name: name == "mosquitto"):
            self._running[name].stop()

    def _fill_bin(self) -> None:
        stub = self._bin / "stub"
        stub.write_text(f"#!{sys.executable}\n" + (PROGRAMS / "stub.py").read_text(encoding="utf-8"), encoding="utf-8")
        stub.chmod(0o755)
        programs = dict.fromkeys(STUBS, stub) | dict.fromkeys(OURS, PROGRAMS / "ours")
        programs |= {name: PROGRAMS / name for name in ("sudo", "install", "mosquitto")}
        for name, program in programs.items():
            (self._bin / name).symlink_to(program)

    def _link_checkout(self) -> None:
        """Make the working folder look like the checkout."""
        for name in ("edge", "training", "scripts", "pyproject.toml", "constraints.txt"):
            (self.work / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "deploy", self.work / "deploy")
        for name in ("install.sh", "jetson/verify"):
            (self.work / "deploy" / name).unlink()
            (self.work / "deploy" / name).symlink_to(self._bin / "stub")

    def _install_service(self) -> None:
        """Put in place what the installer would; tests/deploy runs it for real."""
        for programs in (self.root / "opt/ecg-nat/venv/bin", self.work / ".venv/bin"):
            programs.mkdir(parents=True)
            (programs / "activate").touch()
            (programs / "ecg-edge").symlink_to(self._bin / "ecg-edge")
        (self.root / "etc/ecg-edge/ecg-edge.toml").write_text('[[source]]\nkind = "mqtt"\n')
        (self.root / "etc/mosquitto/conf.d").mkdir()

    def _act_as_systemd(self) -> None:
        """Do what `systemctl` was asked in the last block."""
        for program, *arguments in map(json.loads, self._log.read_text().splitlines()):
            if program != "systemctl" or arguments[-1] not in {"ecg-edge", "mosquitto"}:
                continue
            verb, unit = arguments[0], arguments[-1]
            if verb in {"stop", "restart"} and unit in self._running:
                self._running.pop(unit).stop()
            if verb in {"enable", "start", "restart"} and unit not in self._running:
                self._start_unit(unit)
            elif verb == "reload":
                os.kill(self._running[unit].pid, signal.SIGHUP)

    def _start_unit(self, unit: str) -> None:
        if unit == "mosquitto":
            files = sorted((self.root / "etc/mosquitto/conf.d").glob("*.conf"))
            text = "\n".join(file.read_text() for file in files) or self._plain_listener()
            self._start_mosquitto(self.moved(text).replace("listener 8883", f"listener {self.port}"))
            return
        config = self.root / "etc/ecg-edge/ecg-edge.toml"
        service = self._start(unit, [sys.executable, "-m", "edge", "run", "--config", config, "--verbose"])
        service.wait_for_text("connected")

    def _plain_listener(self) -> str:
        return f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"

    def _start_mosquitto(self, text: str) -> None:
        config = self.root / "mosquitto.conf"
        config.write_text(text + ("\nuser root\n" if os.geteuid() == 0 else ""))
        self._start("mosquitto", [PROGRAMS / "mosquitto", "-c", config]).wait_for(self._listens, "an open port")

    def _start(self, name: str, command: list[str | Path]) -> Background:
        output = self.root / (re.sub(r"\W+", "-", name) + ".log")
        self._running[name] = Background(name, command, self.work, self.environment, output)
        return self._running[name]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _connections(self) -> int:
        """Count the established connections to the broker."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(remote.endswith(f":{self.port:04X}") and state == "01" for _, _, remote, state, *_ in rows)
