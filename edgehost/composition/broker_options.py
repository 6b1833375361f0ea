"""How a broker that the configuration names is connected to."""

from __future__ import annotations

from typing import Final

from edgehost.config_fleet import FleetSettings
from edgehost.config_tables import MqttCarrier
from edgehost.config_upstream import BrokerSettings
from remotes.mqtt_options import MqttOptions

_MQTT_PORT: Final = 1883
_MQTTS_PORT: Final = 8883


def broker_options(broker: MqttCarrier | FleetSettings | BrokerSettings) -> MqttOptions:
    """The connection; what else a room wants of it is added with ``dataclasses.replace``."""
    return MqttOptions(
        host=broker.host,
        tcp_port=broker.tcp_port or (_MQTTS_PORT if broker.tls else _MQTT_PORT),
        tls=broker.tls,
        ca_file=broker.ca_file,
        cert_file=broker.cert_file,
        key_file=broker.key_file,
        username=broker.username,
        password_file=broker.password_file,
    )
