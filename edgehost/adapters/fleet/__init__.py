"""A host in a fleet, over MQTT: what it shows of itself, the commands that it takes, what it sees of others."""
