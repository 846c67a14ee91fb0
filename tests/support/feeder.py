"""A device that sends a tone of a chosen amplitude to the broker."""

import queue

import numpy as np
from waiting import wait_until

from edge.mqtt.client import BrokerConfig, new_client, open_connection
from edge.sources.formats.adc import AdcBlock, AdcSpec
from edge.sources.formats.mqtt_payload import PayloadWriter

RATE = 250
SUCCESS = 0  # otherwise 16: no matching subscribers
QUIET, FIBRILLATING, LOUD = 0.1, 0.5, 2.2  # amplitudes in mV: no alarm; AF; NaN in a bundle with a limit
_SPEC = AdcSpec(("II",), float(RATE), (1000.0,), (0,), 2)


class Feeder:
    """Sends seconds of a tone to one topic, one after another."""

    def __init__(self, broker, topic):
        config = BrokerConfig(host=broker[0], port=broker[1])
        self._topic, self._client, self._writer = topic, new_client(config), PayloadWriter(_SPEC)
        self.seconds = 0
        answers = self._answers = queue.SimpleQueue()
        self._client.on_publish = lambda _client, _data, _mid, code, _properties: answers.put(code.value)
        open_connection(self._client, config)

    def feed(self, seconds, amplitude=QUIET):
        for _ in range(seconds):
            first = self.seconds * RATE
            tone = amplitude * 1000 * np.sin(2 * np.pi * 8 * (first + np.arange(RATE)) / RATE)
            adc = np.rint(tone)[None].astype(np.int32)
            for payload in self._writer.encode(AdcBlock(first, adc, np.zeros(adc.shape, np.uint8), first * 4000)):
                self._send(payload)
            self.seconds += 1

    def _send(self, payload):
        """Send until there is a subscriber; MQTT 5 reports whether there is one, and the broker drops the rest."""

        def has_subscriber():
            self._client.publish(self._topic, payload, qos=1)
            return self._answers.get(timeout=30) == SUCCESS

        wait_until(has_subscriber, what="a subscriber")

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()
