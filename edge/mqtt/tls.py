"""TLS to the broker: a context from the configured files, and each TLS error as one line.

A file name without a folder is a credential that systemd passes to the service (`LoadCredential=`, systemd.exec(5)).
Other commands look for it in the current folder, then in the folder that systemd reads it from.
"""

import os
import ssl
from pathlib import Path
from typing import Protocol

from edge.core.errors import ConfigError

_INSTALLED = Path("/etc/ecg-edge/tls")
_ABSENT = b"absent"  # the unit passes this in place of a missing file (SetCredential=)
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_VERIFY = {
    9: "its certificate is not valid yet; is this machine's clock right?",
    10: "its certificate has expired; renew it there, and see that this machine's clock is right",
    62: "its certificate is for another host; name the host as the certificate does",
    64: "its certificate is for another address; name the host as the certificate does",
}
# Alerts of RFC 8446, section 6, with which a broker rejects our certificate, as OpenSSL names them
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker wants a certificate of this device; name cert_file and key_file",
    "CERTIFICATE_EXPIRED": "the broker says that this device's certificate has expired; renew it, or set the clock",
    "CERTIFICATE_REVOKED": "the broker says that this device's certificate is revoked; make another",
    "UNKNOWN_CA": "the broker does not trust the CA of this device's certificate; have it signed by one that it trusts",
    "BAD_CERTIFICATE": "the broker rejects this device's certificate; have it signed by a CA that it trusts",
    "UNSUPPORTED_CERTIFICATE": "the broker rejects this device's certificate; is it a client certificate?",
    "HANDSHAKE_FAILURE": "the TLS handshake failed; does the broker want a certificate of this device (cert_file)?",
}


class TlsFiles(Protocol):
    """The TLS part of the broker's configuration."""

    @property
    def ca_file(self) -> str | None:
        """CA certificates to trust; None: those of the system."""

    @property
    def cert_file(self) -> str | None:
        """The certificate of this client, if it has one."""

    @property
    def key_file(self) -> str | None:
        """The key of the certificate; None: it is in the certificate's file."""


def find_file(key: str, name: str) -> Path:
    """Return the path of a file that the configuration names under `key`.

    Raises
    ------
    ConfigError
        When it cannot be read.
    """
    path = _path(name)
    try:
        with path.open("rb") as file:
            absent = file.read(len(_ABSENT)) in {b"", _ABSENT}  # an empty file is no certificate either
    except OSError as exc:
        raise ConfigError(f"{key} {path}: {exc.strerror}; see docs/how-to/tls.md") from exc
    if absent:
        raise ConfigError(f"{key} {name}: there was none when the service started; see docs/how-to/tls.md")
    return path


def _path(name: str) -> Path:
    if "/" in name:
        return Path(name)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        return Path(folder, name)
    return Path(name) if Path(name).exists() else _INSTALLED / name


def new_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that checks certificate and host name, TLS 1.2 or later.

    Raises
    ------
    ConfigError
        When a file cannot be used.
    """
    ca = find_file("ca_file", files.ca_file) if files.ca_file else None
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as exc:
        raise ConfigError(f"ca_file {ca}: no certificate in PEM form") from exc
    # Some systems' OpenSSL configuration still allows older versions.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _SelfClosingSocket
    if files.cert_file:
        _load_own(context, files.cert_file, files.key_file)
    return context


class _SelfClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets the socket, and its descriptor would stay open."""

    def do_handshake(self, block: bool = False) -> None:
        """Do the handshake."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _load_own(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    cert = find_file("cert_file", cert_file)
    key = find_file("key_file", key_file) if key_file else cert
    try:
        context.load_cert_chain(cert, key, password="")  # without this, OpenSSL asks for one on the terminal
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"cert_file {cert} and key_file {key} do not belong together") from exc
        raise ConfigError(f"cert_file {cert}, key_file {key}: no certificate and plain key in PEM form") from exc


def reason(exc: ssl.SSLError) -> str:
    """Return what a TLS error means and what to do about it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        other = f"its certificate is not trusted ({exc.verify_message}); name the ca_file that signed it"
        return _VERIFY.get(exc.verify_code, other)
    name = exc.reason or type(exc).__name__
    for alert, meaning in _ALERTS.items():
        if name.endswith("ALERT_" + alert):
            return meaning
    return f"the TLS handshake failed ({name}); does the port speak TLS?"
