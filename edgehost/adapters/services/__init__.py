"""Host-side services that guests and adapters can be bound to."""
