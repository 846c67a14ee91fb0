# Sourced by the other scripts: `use_venv EXTRA` puts a virtual environment with this project and one of its
# extras on the PATH. It lives in .venv (or $VENV) and is brought up to date only when the requirements changed.
# shellcheck shell=bash

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.12 python3.11 python3.10 python3}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "no Python 3.10, 3.11 or 3.12 with venv found; install one (Debian: apt-get install python3-venv) or name it: PYTHON=/path/to/python" >&2
    return 1
}

use_venv() {
    local extra=$1 venv=${VENV:-.venv} python stamp
    python=$(find_python)
    stamp="$venv/.ready-$extra-$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)"
    if [ ! -e "$stamp" ]; then
        echo "setting up $venv with ecg-nat[$extra]: once, a minute or a few" >&2
        [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extra]"
        touch "$stamp"
    fi
    PATH="$(cd "$venv" && pwd)/bin:$PATH"
}
