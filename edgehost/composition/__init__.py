"""How a host is put together: with host.py the only place that knows every adapter."""
