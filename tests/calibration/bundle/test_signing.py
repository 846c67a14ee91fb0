"""A bundle runs where keys are configured only when one of them has signed exactly this manifest."""

import json

import pytest
from energy_bundle import write_bundle

from calibration.__main__ import cli
from calibration.errors import CalibrationError
from edge.core.errors import BundleError, ConfigError
from edge.service.choose_bundle import configured_bundle
from edge.service.config import read_config


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "mine")


def calibrate(*arguments):
    return cli.main(list(map(str, arguments)), standalone_mode=False)


def configured(tmp_path, bundle, snippet):
    path = tmp_path / "ecg-edge.toml"
    path.write_text(f'model = "{bundle}"\n{snippet}\n[[source]]\nkind = "synthetic"\n')
    return configured_bundle(read_config(path))


@pytest.fixture
def key(tmp_path, capsys):
    """Return the file of a private key, and the public key for the configuration."""
    calibrate("keygen", "--out", tmp_path / "own.key")
    return tmp_path / "own.key", capsys.readouterr().out


def test_a_signed_bundle_runs_and_signing_does_not_change_its_manifest(tmp_path, bundle, key):
    before = (bundle / "manifest.json").read_bytes()
    calibrate("sign", bundle, "--key", key[0])
    assert configured(tmp_path, bundle, key[1]).manifest.name == "tiny"
    assert (bundle / "manifest.json").read_bytes() == before
    assert (key[0].stat().st_mode & 0o777) == 0o600


def test_unsigned_and_changed_bundles_are_refused(tmp_path, bundle, key, capsys):
    with pytest.raises(BundleError, match="not signed"):
        configured(tmp_path, bundle, key[1])
    calibrate("keygen", "--out", tmp_path / "other.key")
    capsys.readouterr()
    calibrate("sign", bundle, "--key", tmp_path / "other.key")
    with pytest.raises(BundleError, match="none of the 1 public_keys"):
        configured(tmp_path, bundle, key[1])
    calibrate("sign", bundle, "--key", key[0])
    signature = json.loads((bundle / "signature.json").read_text())
    manifest = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(manifest.replace('"threshold":0.5', '"threshold":0.6'))
    with pytest.raises(BundleError, match="another manifest"):
        configured(tmp_path, bundle, key[1])
    (bundle / "manifest.json").write_text(manifest)
    for change in ({"payload": "e30="}, {"payload": "!"}):
        (bundle / "signature.json").write_text(json.dumps(signature | change))
        with pytest.raises(BundleError, match="signature"):
            configured(tmp_path, bundle, key[1])
    with pytest.raises(ConfigError, match="public key"):
        configured(tmp_path, bundle, '[bundle]\npublic_keys = ["abc"]')


def test_a_shipped_bundle_needs_no_signature(tmp_path, key):
    assert configured(tmp_path, "rhythm", key[1]).path.name == "rhythm"


def test_a_key_is_never_overwritten_and_refused_if_others_can_read_it(key, bundle):
    with pytest.raises(CalibrationError, match="never overwritten"):
        calibrate("keygen", "--out", key[0])
    key[0].chmod(0o644)
    with pytest.raises(CalibrationError, match="chmod 600"):
        calibrate("sign", bundle, "--key", key[0])
