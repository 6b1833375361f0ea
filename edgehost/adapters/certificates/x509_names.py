"""Who a certificate is for: its common names and its alternative names (RFC 5280, 4.2.1.6)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgehost.adapters.certificates.x509_chain import shown_subject
from edgehost.domain.errors import RefusedError


def alternative_names(leaf: x509.Certificate) -> x509.Extension[x509.SubjectAlternativeName] | None:
    """The extension, if it has one that can be read."""
    try:
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return None


def names(leaf: x509.Certificate) -> list[x509.GeneralName]:
    """Its alternative names."""
    extension = alternative_names(leaf)
    return [] if extension is None else list(extension.value)


def shown(name: x509.GeneralName) -> str:
    """For people, such as ``DNS:gate``."""
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP", x509.UniformResourceIdentifier: "URI"}
    return f"{kinds.get(type(name), type(name).__name__)}:{name.value}"


def require_names(leaf: x509.Certificate, *, of: x509.Certificate) -> None:
    """Refuse a successor that is for somebody else: it may have more names, and lacks none.

    Authorities that give up common names put them among the alternative ones.

    Raises:
        RefusedError: a common name or an alternative name is missing.
    """
    has, had = (_marks(each) for each in (leaf, of))
    common, before = _common_names(leaf), _common_names(of)
    lacking = sorted(had - has) + sorted(
        f"CN={each}" for each in before - common if common or f"dns:{each.lower()}" not in has
    )
    if lacking:
        raise RefusedError(
            f"The certificate that came is for '{shown_subject(leaf)}', and that in use for '{shown_subject(of)}': "
            f"{', '.join(lacking)[:200]} is missing.",
            hint="Look at the authority: a renewal keeps who it is for. If the host is to have another name, bring the "
            "first certificate of that name by hand.",
        )


def _common_names(leaf: x509.Certificate) -> set[str]:
    return {str(each.value) for each in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}


def _marks(leaf: x509.Certificate) -> set[str]:
    """DNS names are the same in every case."""
    return {shown(each).lower() if isinstance(each, x509.DNSName) else shown(each) for each in names(leaf)}
