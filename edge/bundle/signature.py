"""Checks the signature of a bundle: Ed25519 over its manifest, which holds the hash of every other file.

`signature.json` lies beside the manifest. It is a DSSE envelope (github.com/secure-systems-lab/dsse, v1.0.2) around a
`Statement`. The workstation signs (`ecg-calibrate sign`); the device only verifies, and never holds a private key.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from edge.bundle.manifest import SIGNATURE, Bundle
from edge.core.errors import BundleError

PAYLOAD_TYPE = "application/vnd.ecg-nat.bundle+json"
_KEY_BYTES = 32
_MAX_BYTES = 16 << 10


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed."""

    name: str
    version: str
    manifest_sha256: str
    signed: datetime


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature of an envelope."""

    keyid: str  # see `key_id`; only a hint which key to try, as DSSE has it
    sig: str  # base64


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename={"payload_type": "payloadType"}):
    """The content of `signature.json`."""

    payload: str  # a `Statement` as JSON, base64
    payload_type: str
    signatures: tuple[Signature, ...]


def signed_bytes(payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding of the payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes) -> str:
    """Return a short name for a public key of 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def read_public_key(text: str) -> bytes:
    """Return the 32 bytes of a public key from base64; ValueError when it is not valid."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ValueError(f"public key {text[:60]!r} is no base64; `ecg-calibrate keygen` prints it") from exc
    if len(key) != _KEY_BYTES:
        raise ValueError(f"public key {text[:60]!r} has {len(key)} bytes, not {_KEY_BYTES}")
    return key


def check_signature(bundle: Bundle, public_keys: Sequence[str]) -> Statement:
    """Verify that one of the keys has signed a bundle, and return the signed statement.

    Raises
    ------
    BundleError
        When there is no signature, none by one of these keys, or one for other content.
    """
    path = bundle.path / SIGNATURE
    keys = {key_id(key): key for key in map(read_public_key, public_keys)}
    envelope, payload = _read(path)
    signature = next((each for each in envelope.signatures if each.keyid in keys), None)
    if signature is None:
        signers = ", ".join(each.keyid[:16] for each in envelope.signatures[:4]) or "nobody"
        raise BundleError(f"{path}: signed by {signers!r}, which is none of the {len(keys)} public_keys; sign it again")
    # Verified before the statement is parsed, so that no parser sees unsigned bytes.
    _verify(path, keys[signature.keyid], signature.sig, payload)
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except msgspec.DecodeError as exc:
        raise BundleError(f"{path}: its statement cannot be read: {exc}") from exc
    if statement.manifest_sha256 != bundle.sha256:
        raise BundleError(f"{path}: signed for another manifest; manifest.json was changed afterwards: sign it again")
    return statement


def _read(path: Path) -> tuple[Envelope, bytes]:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise BundleError(
            f"{path.parent}: not signed, and [bundle] public_keys asks for it; sign it with `ecg-calibrate sign`"
        ) from exc
    except OSError as exc:
        raise BundleError(f"{path}: cannot be read: {exc.strerror}") from exc
    try:
        envelope = msgspec.json.decode(raw[:_MAX_BYTES], type=Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise BundleError(f"{path}: no signature: {exc}; sign the bundle again") from exc
    # The same key may sign other things; the type keeps such a signature from passing here.
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BundleError(f"{path}: signed as {envelope.payload_type[:60]!r}, not as a bundle")
    return envelope, payload


def _verify(path: Path, key: bytes, signature: str, payload: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signature), signed_bytes(payload))
    except (InvalidSignature, ValueError) as exc:
        raise BundleError(f"{path}: the signature is not by the key that it names; it was changed") from exc
