#!/usr/bin/env bash
# Install, upgrade or remove ecg-edge as a systemd service. It is safe to run again: it overwrites no configuration.
#
#   sudo deploy/install.sh                          install; then edit /etc/ecg-edge/ecg-edge.toml
#   sudo deploy/install.sh --upgrade                install a new version beside the old one, check it, and switch to it
#   sudo deploy/install.sh --uninstall              remove it, but keep configuration, keys and outbox
#   sudo deploy/install.sh --uninstall --purge      remove those too
#
#   --from PATH      a wheel or a checkout to install (default: this checkout)
#   --prefix DIR     where to install it (default: /opt/ecg-nat)
#   --python PYTHON  Python 3.10, 3.11 or 3.12 (default: the newest one found; on a Jetson the system's)
#   --jetson         let the environment use the system's packages, for TensorRT (default on a Jetson)
#   --root DIR       install below DIR and leave the running system alone
#
# pip reads its own variables: PIP_INDEX_URL, and for a device without a network PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
from=$(dirname "$here")
prefix=/opt/ecg-nat
root=
python=
mode=install
purge=no
jetson=no
[ ! -e /etc/nv_tegra_release ] || jetson=yes

say() { echo "install.sh: $*"; }

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

usage() {
    echo "install.sh: $*; see --help" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --from | --prefix | --python | --root)
            [ $# -ge 2 ] && [ -n "$2" ] || usage "$1 needs a value"
            declare "${1#--}=$2"
            shift
            ;;
        --upgrade) mode=upgrade ;;
        --uninstall) mode=uninstall ;;
        --purge) purge=yes ;;
        --jetson) jetson=yes ;;
        -h | --help)
            sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p;}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) usage "unknown option $1" ;;
    esac
    shift
done
[[ $prefix == /?* && $prefix != *[\ \"\'%]* ]] || usage "--prefix $prefix must be an absolute path without spaces"
[ "$purge" = no ] || [ "$mode" = uninstall ] || usage "--purge goes with --uninstall"
if [ -n "$root" ]; then
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
elif [ "$(id -u)" != 0 ]; then
    fail "it changes the system: run it with sudo, or try it with --root DIR"
fi

[ -e "$from" ] || fail "--from $from: there is no such file or folder"
from=$(realpath "$from")
home=$root$prefix
config=$root/etc/ecg-edge
unit=$root/etc/systemd/system/ecg-edge.service
state=$root/var/lib/ecg-edge

live() { [ -z "$root" ] && [ -d /run/systemd/system ]; } # whether systemd runs here

find_python() {
    local candidate candidates=(python3.12 python3.11 python3.10 python3)
    [ "$jetson" = no ] || candidates=(python3) # TensorRT's bindings are installed for it
    [ -z "$python" ] || candidates=("$python")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.10, 3.11 or 3.12 with venv (looked for ${candidates[*]}); Debian: apt-get install python3-venv"
}

# Each version has its own environment below $home/versions; $home/venv links to the active one.
install_version() {
    local interpreter package=$from extra='' options=()
    interpreter=$(find_python)
    [ "$jetson" = no ] || { options=(--system-site-packages) && extra='[jetson]'; }
    new=$home/versions/$(date -u +%Y%m%dT%H%M%S)-$$
    scratch=$(mktemp -d)
    mkdir -p "$home/versions"
    trap 'rm -rf "$new" "$scratch"' EXIT
    say "installing $from with $("$interpreter" --version); this takes a few minutes"
    [ ! -d "$from" ] || package=$(copy_sources)
    "$interpreter" -m venv "${options[@]}" "$new" || fail "cannot create an environment in $new"
    "$new/bin/python" -m pip install --quiet --disable-pip-version-check "$package$extra" || fail "pip could not install $from"
    check_version "$new"
    ln -sfn "versions/$(basename "$new")" "$home/venv.new"
    [ -L "$home/venv" ] || rm -rf "$home/venv" # an environment made by hand
    # A rename replaces the link in one step, so the unit always finds a complete version.
    mv -T "$home/venv.new" "$home/venv"
    rm -rf "$scratch"
    trap - EXIT
    remove_other_versions "$(basename "$new")"
}

copy_sources() { # building in the checkout would leave root's files there, and reuse those of an earlier build
    local part
    for part in pyproject.toml README.md LICENSE edge ecgnat training calibration; do
        [ -e "$from/$part" ] || fail "$from is no checkout of ecg-nat: it has no $part"
        cp -r "$from/$part" "$scratch/"
    done
    echo "$scratch"
}

check_version() { # check that the version in environment $1 starts, and accepts the present configuration
    "$1/bin/ecg-edge" --version || fail "the new version does not start; nothing was changed"
    [ -e "$config/ecg-edge.toml" ] || return 0
    CREDENTIALS_DIRECTORY=$config/tls "$1/bin/ecg-edge" run --config "$config/ecg-edge.toml" --check ||
        fail "the new version does not accept $config/ecg-edge.toml; nothing was changed"
}

remove_other_versions() {
    local version
    for version in "$home"/versions/*; do
        [ "$(basename "$version")" = "$1" ] || rm -rf "$version"
    done
}

install_files() {
    install -D -m 644 "$here/README.md" "$home/README.md"
    install -d -m 755 "$config"
    install -d -m 700 "$config/tls"
    install -m 644 "$here/ecg-edge.example.toml" "$config/ecg-edge.example.toml"
    if [ ! -e "$config/ecg-edge.toml" ]; then
        install -m 644 "$here/ecg-edge.example.toml" "$config/ecg-edge.toml"
        say "wrote $config/ecg-edge.toml: edit it"
    fi
    install -d -m 755 "$(dirname "$unit")"
    sed "s#/opt/ecg-nat/#$prefix/#g" "$here/systemd/ecg-edge.service" >"$unit.new"
    chmod 644 "$unit.new"
    mv "$unit.new" "$unit"
    [ "$jetson" = no ] || install -D -m 644 "$here/jetson/ecg-edge-jetson.conf" "$unit.d/jetson.conf"
}

uninstall() {
    ! live || systemctl disable --now ecg-edge.service 2>/dev/null || true
    rm -f "$unit" "$unit.d/jetson.conf"
    [ ! -d "$unit.d" ] || rmdir --ignore-fail-on-non-empty "$unit.d"
    rm -rf "$home/versions" "$home/venv" "$home/venv.new" "$home/README.md" # only what this script made
    [ ! -d "$home" ] || rmdir --ignore-fail-on-non-empty "$home"
    if [ "$purge" = yes ]; then
        rm -rf "$config" "$state" "$root/var/lib/private/ecg-edge"
        say "removed, with configuration, keys and outbox"
    else
        say "removed; $config and $state stay (--purge removes them too)"
    fi
    ! live || systemctl daemon-reload
}

case $mode in
    uninstall)
        uninstall
        exit 0
        ;;
    install)
        if [ -x "$home/venv/bin/ecg-edge" ]; then
            say "$("$home/venv/bin/ecg-edge" --version) is installed; --upgrade brings it up to date"
        else
            install_version
        fi
        ;;
    upgrade)
        [ -x "$home/venv/bin/ecg-edge" ] || fail "nothing to upgrade in $home; install it first"
        install_version
        ;;
esac
install_files
if live; then
    systemctl daemon-reload
    systemctl try-restart ecg-edge.service
    systemctl is-active --quiet ecg-edge.service || say "next: edit $config/ecg-edge.toml, then systemctl enable --now ecg-edge"
fi
say "done"
