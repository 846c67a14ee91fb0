"""TLS to the broker: a context made of files, and what goes wrong with TLS, each in one line.

A file that is named without a folder is a credential that systemd hands to the service (`LoadCredential=`,
systemd.exec(5)); for other commands, one of the current folder or of the folder that systemd takes them from. Knows
nothing of MQTT.
"""

import os
import ssl
from pathlib import Path
from typing import Protocol

from edge.core.errors import ConfigError

_INSTALLED = Path("/etc/ecg-edge/tls")
_ABSENT = b"absent"  # what the unit hands over in place of a file that is not there (SetCredential=)
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_VERIFY = {
    9: "its certificate is not valid yet; is this machine's clock right?",
    10: "its certificate has expired; renew it there, and see that this machine's clock is right",
    62: "its certificate is for another host; name the host as the certificate does",
    64: "its certificate is for another address; name the host as the certificate does",
}
# Alerts of RFC 8446, section 6, that the broker sends when it does not like our certificate, as OpenSSL names them
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker wants a certificate of this device; name cert_file and key_file",
    "CERTIFICATE_EXPIRED": "the broker says that this device's certificate has expired; renew it, or set the clock",
    "CERTIFICATE_REVOKED": "the broker says that this device's certificate is revoked; make another",
    "UNKNOWN_CA": "the broker does not know the CA of this device's certificate; have it signed by one that it knows",
    "BAD_CERTIFICATE": "the broker does not take this device's certificate; have it signed by a CA that it knows",
    "UNSUPPORTED_CERTIFICATE": "the broker does not take this device's certificate; is it one for clients?",
    "HANDSHAKE_FAILURE": "the TLS handshake failed; does the broker want a certificate of this device (cert_file)?",
}


class TlsFiles(Protocol):
    """The part of the broker's configuration that is about TLS."""

    @property
    def ca_file(self) -> str | None:
        """Certificates to trust; the system's where none is named."""

    @property
    def cert_file(self) -> str | None:
        """The certificate of this client."""

    @property
    def key_file(self) -> str | None:
        """Its key; in the certificate's file where none is named."""


def find_file(key: str, name: str) -> Path:
    """Return the path of a file that the configuration names, which can be read.

    Raises
    ------
    ConfigError
        When it cannot.
    """
    path = _path(name)
    try:
        with path.open("rb") as file:
            absent = file.read(len(_ABSENT)) in {b"", _ABSENT}
    except OSError as exc:
        raise ConfigError(f"{key} {path}: {exc.strerror}; see deploy/README.md, Certificates") from exc
    if absent:
        raise ConfigError(f"{key} {name}: there was none when the service started; see deploy/README.md, Certificates")
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
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    if files.cert_file:
        _load_own(context, files.cert_file, files.key_file)
    return context


class _Socket(ssl.SSLSocket):
    """One that a failed handshake leaves closed: paho forgets it, and its descriptor would stay open for a while."""

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
        context.load_cert_chain(cert, key, password="")  # nobody is there to type one
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"cert_file {cert} and key_file {key} do not belong together") from exc
        raise ConfigError(f"cert_file {cert}, key_file {key}: no certificate and plain key in PEM form") from exc


def reason(exc: ssl.SSLError) -> str:
    """Return what a failure of TLS means and what to do about it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        other = f"its certificate is not trusted ({exc.verify_message}); name the ca_file that signed it"
        return _VERIFY.get(exc.verify_code, other)
    name = exc.reason or type(exc).__name__
    for alert, meaning in _ALERTS.items():
        if name.endswith("ALERT_" + alert):
            return meaning
    return f"the TLS handshake failed ({name}); does the port speak TLS?"
