from __future__ import annotations

import pytest

from edgehost.domain.redaction import REMOVED, Redactor, opaque_values

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"mqtts://ops:{SECRET}@broker.local:8883/x",
        f"https://{SECRET}@host/path",
        f"https://host/path?access={SECRET}&x=1",
        f"Authorization: Bearer {SECRET}",
        f"authorization=Basic {SECRET}",
        f'password = "{SECRET}"',
        f"DB_PASSWORD={SECRET} and more",
        f"{{'api_key': '{SECRET}'}}",
        f'{{"client-secret": "{SECRET} with spaces"}}',
        f"token: {SECRET}, next",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}",
        f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_taken_out_of_a_text(text: str) -> None:
    shown = Redactor().text(text)
    assert SECRET not in shown
    assert REMOVED in shown


@pytest.mark.parametrize(
    "text",
    [
        "The password file /etc/edgehost/broker.pw cannot be read.",
        'token_file = "/etc/edgehost/token"',
        "a3f5c2b1" * 8,
        "telemetry 1.0.0 is live at http://127.0.0.1:8420/api",
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_values_are_taken_out_by_the_key_and_the_table_that_they_stand_in() -> None:
    document = {
        "remotes": [{"name": "fleet", "username": SECRET, "password_file": "/etc/pw", "token": SECRET}],
        "components": {"weather": {"version": "^1", "config": {"anything": SECRET}}},
        "sinks": [{"to": "service", "given": {"deep": {"er": SECRET}}}],
        "api": {"tcp_port": 8420},
    }
    shown = Redactor(opaque_values(document)).document(document)
    assert SECRET not in str(shown)
    assert shown["remotes"][0]["password_file"] == "/etc/pw"
    assert shown["api"] == {"tcp_port": 8420}
    assert "14 characters" in shown["components"]["weather"]["config"]["anything"]


def test_a_value_that_a_component_was_given_is_taken_out_of_logs_too() -> None:
    document = {"components": {"weather": {"config": {"anything": "Xyzzy-4711"}}}}
    assert opaque_values(document) == ["Xyzzy-4711"]
    assert Redactor(opaque_values(document)).text("asked with Xyzzy-4711.") == f"asked with {REMOVED}."


def test_of_a_command_the_program_alone_is_shown() -> None:
    document = {"certificates": [{"name": "broker", "command": ["/bin/issue", "--for", SECRET]}]}
    shown = Redactor(opaque_values(document)).document(document)
    assert shown == {"certificates": [{"name": "broker", "command": ["/bin/issue", REMOVED, REMOVED]}]}


def test_deep_documents_end() -> None:
    deep: object = SECRET
    for _ in range(100):
        deep = [deep]
    assert SECRET not in str(Redactor().document(deep))
