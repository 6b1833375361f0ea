"""A handshake in memory, by OpenSSL, of this host with itself: what a broker will say of a chain.

Asked where an authority of the chain has name constraints (RFC 5280, 4.2.1.10). The verifier of the library
cryptography knows them for some kinds of names only: it takes a common name for no name, refuses every constraint on a
directory name or URI, and no Ed25519 key passes.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

from edgehost.ports.certificate_authority import Pair

#: X509_V_FLAG_NO_CHECK_TIME, which Python has no name for: dates are judged elsewhere, by a time that is believed.
_NO_CHECK_TIME: Final = 0x200000
#: X509_V_ERR_INVALID_PURPOSE.
_WRONG_PURPOSE: Final = 26
#: How strong keys are is for each broker to judge.
_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"
#: A handshake takes three turns of each side.
_MOST_TURNS: Final = 8


def refusal(pair: Pair, anchor: bytes) -> str:
    """Why OpenSSL takes the pair neither of a client nor of a server; "" when it does, or cannot say.

    ``pair``: the certificate, then those between it and the anchor; ``anchor``: one certificate, PEM.
    """
    found: list[ssl.SSLCertVerificationError] = []
    for is_client in (True, False):
        problem = _refused(pair, anchor, is_client=is_client)
        if problem is None:
            return ""
        found.append(problem)
    # A certificate for servers is no client's, which hides what else is wrong with it.
    said = next((each for each in found if each.verify_code != _WRONG_PURPOSE), found[0])
    return said.verify_message.rstrip(".")


def _refused(pair: Pair, anchor: bytes, *, is_client: bool) -> ssl.SSLCertVerificationError | None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    checking = server if is_client else client
    checking.verify_mode = ssl.CERT_REQUIRED
    # An authority of issuer_file need not be a root.
    checking.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME) | ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        checking.load_verify_locations(cadata=anchor.decode("ascii"))
        for each in (server, client):
            each.set_ciphers(_CIPHERS)
            _load(each, pair)
        sides = (
            client.wrap_bio(to_client, to_server),
            server.wrap_bio(to_server, to_client, server_side=True),
        )
        for _ in range(_MOST_TURNS):
            waiting = [side for side in sides if _waits(side)]
            if not waiting:
                break
    except ssl.SSLCertVerificationError as problem:
        return problem
    except (ssl.SSLError, OSError, ValueError):
        return None  # such as a curve that OpenSSL shows nobody: the broker will say
    return None


def _waits(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return True
    return False


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    """The key is written to memory alone; OpenSSL takes it from a file only."""
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pair.key.rstrip(b"\n") + b"\n" + pair.certificate)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
