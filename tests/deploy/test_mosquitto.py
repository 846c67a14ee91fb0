"""A real Mosquitto with exactly the files of deploy/mosquitto, and certificates made for the test."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from waiting import free_port, wait_until

from edge.bundle.manifest import BundleRef
from edge.commands.ack import ack
from edge.core.errors import BrokerError, ConfigError
from edge.mqtt import topics
from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.mqtt.subscriber import Subscriber
from edge.publish.publisher import Publisher
from edge.sources.config import MqttConfig
from edge.sources.mqtt_topic import MqttTopicSource

FILES = Path(__file__).parents[2] / "deploy" / "mosquitto"
INSTALLED = "/etc/mosquitto/ecg-nat"
BUNDLE = BundleRef(name="rhythm", version="1", sha256="0" * 64)


def make(folder, *arguments, days=None, ok=True):
    environment = {**os.environ, **({} if days is None else {"DAYS": str(days)})}
    command = [FILES / "make-certificates", folder, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return a folder of good certificates, with subfolders of certificates that are wrong in one way each."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program; install openssl")
    folder = tmp_path_factory.mktemp("certificates")
    make(folder, "ca")
    make(folder, "server", "localhost", "127.0.0.1")
    for client in ("ecg-edge", "other", "ward", "sensor"):
        make(folder, "client", client)
    make(folder, "client", "old", days=-1)
    for wrong in ("expired", "elsewhere"):
        (folder / wrong).mkdir()
        for name in ("ca.pem", "ca.key"):
            shutil.copy(folder / name, folder / wrong)
    make(folder / "expired", "server", "localhost", "127.0.0.1", days=-1)
    make(folder / "elsewhere", "server", "ward.example", "10.0.0.5")
    make(folder / "stranger", "ca")
    make(folder / "stranger", "client", "ecg-edge")
    return folder


class TlsMosquitto:
    """A Mosquitto with the shipped configuration; `serve` starts it with the server certificate of some folder."""

    def __init__(self, folder, certificates):
        self.port = free_port()
        self._files, self._certificates = folder / "ecg-nat", certificates
        self._config = folder / "mosquitto.conf"
        self._files.mkdir()
        shutil.copy(FILES / "acl", self._files)
        shutil.copy(certificates / "ca.pem", self._files)
        shipped = (FILES / "ecg-nat.conf").read_text()
        assert shipped.count("listener 8883") == 1
        ours = shipped.replace(INSTALLED, str(self._files)).replace("listener 8883", f"listener {self.port}")
        self._config.write_text(ours + ("user root\n" if os.geteuid() == 0 else ""))
        self._process = None

    def serve(self, wrong="."):
        self.stop()
        for name in ("server.pem", "server.key"):
            shutil.copy(self._certificates / wrong / name, self._files)
        binary = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if binary is None:
            pytest.skip("no mosquitto program; install the package mosquitto")
        self._process = subprocess.Popen([binary, "-c", self._config], stderr=subprocess.DEVNULL)
        wait_until(self._listens, what="Mosquitto's port")

    def _listens(self):
        assert self._process.poll() is None, "Mosquitto rejects its configuration"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def server(tmp_path, certificates):
    server = TlsMosquitto(tmp_path, certificates)
    yield server
    server.stop()


@pytest.fixture
def login(server, certificates):
    """Give the function that makes the settings of a client."""

    def settings(name="ecg-edge", **changes):
        right = {
            "host": "localhost",
            "port": server.port,
            "ca_file": str(certificates / "ca.pem"),
            "cert_file": str(certificates / f"{name}.pem"),
            "key_file": str(certificates / f"{name}.key"),
        }
        return BrokerConfig(**{key: value for key, value in (right | changes).items() if value is not None})

    return settings


@pytest.fixture
def publisher():
    """Give the function that makes a publisher that has started, and close them all at the end."""
    made = []

    def new(config, device="ecg-edge"):
        made.append(Publisher(config, device, version="0.1", bundle=BUNDLE))
        made[-1].start()
        return made[-1]

    yield new
    for sender in made:
        sender.close(0.0)


@pytest.mark.parametrize(
    ("wrong", "changes", "error"),
    [
        ("expired", {}, "its certificate has expired; renew it there"),
        ("elsewhere", {}, "its certificate is for another host; name the host as the certificate does"),
        ("elsewhere", {"host": "127.0.0.1"}, "its certificate is for another address"),
        (".", {"ca_file": "stranger/ca.pem"}, "its certificate is not trusted"),
        (".", {"cert_file": "old.pem", "key_file": "old.key"}, "certificate"),
        (".", {"cert_file": "stranger/ecg-edge.pem", "key_file": "stranger/ecg-edge.key"}, "certificate"),
        (".", {"ca_file": None, "cert_file": None, "key_file": None}, r"does it want TLS\?"),
    ],
    ids=["expired", "host", "address", "ca", "old-client", "strange-client", "no-tls"],
)
def test_each_tls_fault_is_named(server, certificates, login, wrong, changes, error):
    server.serve(wrong)
    full = {
        key: str(certificates / value) if value and "." in value and key != "host" else value
        for key, value in changes.items()
    }
    config = login(**full)
    with pytest.raises(BrokerError, match=f"^{config.address}: .*{error}"), Subscriber(config, topics.filters()):
        pass


def test_publisher_and_source_name_the_fault_too(server, login, publisher):
    """In TLS 1.3 the broker checks the client's certificate after the handshake, and refuses it only then."""
    server.serve()
    config = login(cert_file=None, key_file=None)
    sender = publisher(config)
    wait_until(lambda: "certificate" in sender.trouble, what="the publisher's trouble")
    assert sender.trouble.startswith(config.address)
    assert not sender.connected
    source = MqttTopicSource(MqttConfig(broker=config, connect_timeout_s=0.5))
    with pytest.raises(BrokerError, match="certificate"), source:
        source.open()


def test_it_connects_by_itself_when_the_certificate_is_renewed(server, login, publisher, caplog):
    server.serve("expired")
    sender = publisher(login())
    sender._connection._client.reconnect_delay_set(1, 1)
    wait_until(lambda: sender.health.failures >= 2, what="another attempt")
    assert sum("expired" in record.message for record in caplog.records) == 1  # logged once, not at each attempt
    server.serve()
    wait_until(lambda: sender.connected, what="the publisher to connect")
    assert sender.trouble == ""
    server.stop()
    wait_until(lambda: "nothing listens there" in sender.trouble, what="the publisher's trouble")


def test_each_client_may_use_its_own_topics_only(server, login, publisher):
    server.serve()
    own = [
        topics.health_topic("ecg-edge"),
        topics.events_topic("ecg-edge"),
        *(make_topic("ecg-edge", "s") for make_topic in (topics.alerts_topic, topics.predictions_topic)),
        topics.alarm_topic("ecg-edge", "s", "AF"),
        topics.stream_alarms_topic("ecg-edge", "s"),
    ]
    with (
        Subscriber(login("ward"), ["ecg-nat/v1/#"]) as ward,
        Subscriber(login("ecg-edge"), ["ecg-nat/v1/ecg-edge/+/commands", "ecg/+/samples"]) as edge,
    ):
        publisher(login())
        assert ward.get(10).topic == "ecg-nat/v1/ecg-edge/status"
        sent = {
            "other": ["ecg-nat/v1/ecg-edge/s/alerts", "ecg-nat/v1/ecg-edge/s/commands", "ecg/sensor/samples"],
            "sensor": ["ecg/other/samples", "ecg-nat/v1/ecg-edge/s/commands", "ecg/sensor/samples"],
            "ward": ["ecg-nat/v1/ecg-edge/s/alerts", "ecg-nat/v1/ecg-edge/s/commands"],
            "ecg-edge": ["ecg-nat/v1/other/s/alerts", "ecg-nat/v1/ecg-edge/s/commands", *own],
        }
        for name, sent_topics in sent.items():
            publish(login(name), [(topic, name) for topic in sent_topics])
        received = [(m.topic, m.payload.decode()) for m in iter(lambda: edge.get(0.5), None)]
        assert received == [("ecg/sensor/samples", "sensor"), ("ecg-nat/v1/ecg-edge/s/commands", "ward")]
        received = [(m.topic, m.payload.decode()) for m in iter(lambda: ward.get(0.5), None)]
        assert received == [("ecg-nat/v1/ecg-edge/s/commands", "ward"), *((topic, "ecg-edge") for topic in own)]


def test_a_person_logs_in_by_certificate_too(server, certificates):
    server.serve()
    files = {"--ca-file": "ca.pem", "--cert-file": "ward.pem", "--key-file": "ward.key"}
    login = [each for option, file in files.items() for each in (option, str(certificates / file))]
    arguments = ["--broker", f"localhost:{server.port}", "--device", "ecg-edge", "--stream", "bed", "--timeout", "0.1"]
    result = CliRunner().invoke(ack, [*arguments, *login, "AF"])
    assert "is AF on" in str(result.exception)  # the broker accepted the command; no device answers
    assert "--key-file needs a --cert-file" in CliRunner().invoke(ack, [*arguments, *login[-2:], "AF"]).output


def publish(config, messages):
    """Publish as one client, and return when the broker has answered each."""
    client = new_client(config)
    answers = []
    done = threading.Event()

    def on_publish(_client, _data, _mid, code, _properties):
        answers.append(code)
        if len(answers) == len(messages):
            done.set()

    client.on_publish = on_publish
    open_connection(client, config)
    for topic, payload in messages:
        client.publish(topic, payload, qos=1)
    assert done.wait(10)
    client.disconnect()
    client.loop_stop()


def test_the_password_and_the_files_come_from_systemd(tmp_path, certificates, login, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name, ours in (("ca.pem", "ca.pem"), ("ecg-edge.pem", "device.pem"), ("ecg-edge.key", "device.key")):
        shutil.copy(certificates / name, tmp_path / ours)
    (tmp_path / "password").write_text("secret\n")
    named = {"ca_file": "ca.pem", "cert_file": "device.pem", "key_file": "device.key", "password_file": "password"}
    client = new_client(login(username="x", **named))
    assert client._password == b"secret"
    assert isinstance(client._ssl_context, ssl.SSLContext)
    (tmp_path / "device.key").write_text("absent")  # what the unit passes for a missing file
    with pytest.raises(ConfigError, match=r"key_file device.key: there was none when the service started"):
        new_client(login(**named))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, r"ca_file /nowhere/ca.pem: No such file"),
        ({"ca_file": "ecg-edge.key"}, "no certificate in PEM form"),
        ({"key_file": "other.key"}, "do not belong together"),
        ({"cert_file": "ecg-edge.key"}, "no certificate and plain key in PEM form"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(certificates, login, changes, error):
    full = {key: value if value.startswith("/") else str(certificates / value) for key, value in changes.items()}
    with pytest.raises(ConfigError, match=error) as caught:
        new_client(login(**full))
    assert "\n" not in str(caught.value)


def test_certificates_are_never_overwritten(certificates):
    assert "exists; move it away" in make(certificates, "client", "ward", ok=False)
    assert "client needs one name" in make(certificates, "client", "Jane Doe", ok=False)
    assert "first: make-certificates" in make(certificates / "new", "client", "x", ok=False)
    assert (certificates / "ward.key").stat().st_mode & 0o777 == 0o600
