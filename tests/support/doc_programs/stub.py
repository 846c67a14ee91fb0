"""Stands in for programs that would change the machine or that may not be there; called by the name of each.

It accepts only arguments that make sense. What it was asked goes to the file DOCS_LOG, a JSON list a line, for the
sandbox to act on.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

NAME, ARGUMENTS = Path(sys.argv[0]).name, sys.argv[1:]
ROOT = Path(os.environ["DOCS_ROOT"])
ALLOWED = {  # what each may be asked, as one line
    "systemctl": r"(enable --now|start|stop|restart|reload|status) (ecg-edge|mosquitto)|daemon-reload",
    "journalctl": r"-u ecg-edge( -f)?( -n \d+)?",
    "apt-get": r"update|install -y( [a-z0-9.+-]+)+",
    "usermod": r"-aG dialout \S+",
    "nano": r"/\S+\.toml",
    "git": r"pull|clone \S+",
    "nvpmodel": r"-m \d",
    "jetson_clocks": r"",
    "verify": r"",
    "podman": (
        r"build -t ecg-edge -f deploy/Containerfile \.|logs -f ecg-edge"
        r"|run (-d --name ecg-edge --restart always|--rm)( -v \S+:\S+)+"
        r"( --device /dev/\S+ --group-add keep-groups)? ecg-edge"
    ),
}


def refuse(why: str) -> None:
    """End with an error that the sandbox shows."""
    sys.exit(f"stub: {' '.join([NAME, *ARGUMENTS])}: {why}")


def check_installer() -> None:
    """Check the options against the installer's help; tests/deploy runs it for real."""
    usage = subprocess.run([ROOT / "deploy/install.sh", "--help"], capture_output=True, text=True, check=True).stdout
    for argument in ARGUMENTS:
        if argument.startswith("--") and argument not in usage:
            refuse("no such option")


def check_pip() -> None:
    """Check the verb and the extras."""
    extras = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]["optional-dependencies"]
    verb, *rest = ARGUMENTS
    if verb not in {"install", "wheel"}:
        refuse("which verb?")
    parser = argparse.ArgumentParser()
    for option in ("-c", "--wheel-dir", "--extra-index-url"):
        parser.add_argument(option)
    parser.add_argument("packages", nargs="+")
    for package in parser.parse_args(rest).packages:
        found = re.fullmatch(r"\.(?:\[(\w+)\])?", package)
        if not found or (found[1] and found[1] not in extras):
            refuse(f"{package}: no such extra")


def run_mosquitto_client() -> None:
    """Publish or subscribe as Mosquitto's clients do, with the few options that the documentation uses."""
    import paho.mqtt.client as mqtt

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", default="localhost")
    parser.add_argument("-t", required=True)
    parser.add_argument("-m")
    parser.add_argument("-v", action="store_true")
    asked = parser.parse_args(ARGUMENTS)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: sys.stdout.write(
        f"{message.topic} {message.payload.decode()}\n"
    )
    client.on_connect = lambda client, *_: client.subscribe(asked.t) if asked.m is None else None
    client.connect(asked.h, 1883)
    if asked.m is None:
        client.loop_forever()
    client.loop_start()
    client.publish(asked.t, asked.m, qos=1).wait_for_publish(5)


def main() -> None:
    """Note what was asked, and act by the name."""
    with Path(os.environ["DOCS_LOG"]).open("a") as log:
        log.write(json.dumps([NAME, *ARGUMENTS]) + "\n")
    match NAME:
        case "install.sh":
            check_installer()
        case "pip":
            check_pip()
        case "mosquitto_pub" | "mosquitto_sub":
            run_mosquitto_client()
        case _ if not re.fullmatch(ALLOWED[NAME], " ".join(ARGUMENTS)):
            refuse("the stand-in does not know these arguments")


if __name__ == "__main__":
    main()
