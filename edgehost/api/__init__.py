"""The ASGI application: generated model routes, events, OpenAPI and host control."""
