"""An MQTT broker for the demo and for machines that have none."""
