"""Keys and signatures of bundles, for devices that only run what their operator signed.

The private key is a PEM file that only its owner may read. `edge.bundle.signature` defines and verifies signatures.
"""

import base64
import os
import stat
from datetime import datetime, timezone
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from calibration.errors import CalibrationError
from edge.bundle.manifest import SIGNATURE, load_bundle
from edge.bundle.signature import PAYLOAD_TYPE, Envelope, Signature, Statement, key_id, signed_bytes


def new_key(path: Path) -> str:
    """Write a new private key and return its public key in the form of the device's configuration.

    Raises
    ------
    CalibrationError
        When the file exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Created private: a later chmod would leave a moment in which others could read the key.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError as exc:
        raise CalibrationError(f"{path}: exists; a key is never overwritten, name another file") from exc
    except OSError as exc:
        raise CalibrationError(f"{path}: cannot be written: {exc.strerror}") from exc
    return public_key(key)


def public_key(key: Ed25519PrivateKey) -> str:
    """Return the public key in base64."""
    return base64.b64encode(_public_bytes(key)).decode()


def read_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Raises
    ------
    CalibrationError
        When there is none, it is of another kind, or other users may read the file.
    """
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise CalibrationError(f"{path}: other users may read this private key; run: chmod 600 {path}")
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise CalibrationError(f"{path}: {exc.strerror}; make a key with `ecg-calibrate keygen`") from exc
    except (ValueError, TypeError) as exc:
        raise CalibrationError(f"{path}: holds no private key without a password: {exc}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise CalibrationError(f"{path}: is not an Ed25519 key; make one with `ecg-calibrate keygen`")
    return key


def sign_bundle(folder: Path, key: Ed25519PrivateKey, now: datetime) -> Statement:
    """Verify every hash of a bundle and write its `signature.json`.

    Raises
    ------
    BundleError
        When the bundle does not match its manifest.
    CalibrationError
        When the file cannot be written.
    """
    bundle = load_bundle(folder)
    statement = Statement(
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        manifest_sha256=bundle.sha256,
        signed=now.astimezone(timezone.utc).replace(microsecond=0),
    )
    payload = msgspec.json.encode(statement)
    signature = Signature(
        keyid=key_id(_public_bytes(key)), sig=base64.b64encode(key.sign(signed_bytes(payload))).decode()
    )
    envelope = Envelope(payload=base64.b64encode(payload).decode(), payload_type=PAYLOAD_TYPE, signatures=(signature,))
    try:
        (folder / SIGNATURE).write_bytes(msgspec.json.format(msgspec.json.encode(envelope), indent=1) + b"\n")
    except OSError as exc:
        raise CalibrationError(f"{folder / SIGNATURE}: cannot be written: {exc.strerror}") from exc
    return statement


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
