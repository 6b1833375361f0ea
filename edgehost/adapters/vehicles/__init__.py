"""Vehicles: autopilots that speak MAVLink, as services that models are bound to."""
