"""Deployments and firmware in the chain of trust: signed, checked, fetched, withdrawn."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehost.domain.errors import (
    ConflictError,
    InvalidSpecificationError,
    NotFoundError,
    UntrustedReleaseError,
)
from edgehost.domain.signed_document import DocumentKind, SignedDocument
from remotes.document_publisher import documents, publish_document, withdraw_document
from remotes.publisher import releases, show_repository
from remotes.signed_document import (
    DEPLOYMENT_MOST_BYTES,
    document_field,
    document_path,
    read_document,
)
from remotes.target_changes import Published
from remotes.transport import CHUNK_BYTES
from tests.remotes.workshop import NOW, Workshop, component_bytes, open_site

GOOD = SignedDocument(
    kind=DocumentKind.FIRMWARE,
    name="valve",
    version="1.2.0",
    sequence=7,
    digest="ef" * 32,
    size_bytes=40_000,
    remote="demo",
    target_path="@firmware/valve/1.2.0.bin",
    chunks=("ab" * 32, "cd" * 32),
    about={"board": "pico"},
)


def read(custom: object, *, path: str = GOOD.target_path, length: int = 40_000) -> SignedDocument | None:
    return read_document(path, length=length, hashes={"sha256": GOOD.digest}, custom=custom, remote="demo")


def publish(shop: Workshop, name: str = "site", content: bytes | None = None, **more: Any) -> Published:
    kind = more.pop("kind", DocumentKind.DEPLOYMENT)
    content = json.dumps({"name": name}).encode() if content is None else content
    return publish_document(shop.folder, kind, name, content, signers=[shop.online], now=shop.now, **more)


def test_what_is_written_of_a_document_is_read_again() -> None:
    assert read({**document_field(GOOD), "a key of a later version": 1}) == GOOD


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "deployment"}, "kind"),
        ({"name": "pump"}, "signed as firmware pump"),
        ({"version": "1.3.0"}, "signed as firmware valve 1.3.0"),
        ({"version": "new"}, "no semantic version"),
        ({"sequence": 0}, "sequence"),
        ({"chunks": ["ab" * 32]}, "do not make 1 chunks"),
        ({"chunk_bytes": 1024}, "chunk_bytes"),
        ({"about": {"board": 7}}, "board"),
        ({"about": {f"word{n}": "" for n in range(33)}}, "33 words"),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidSpecificationError, match=complaint):
        read(document_field(GOOD) | changes)


def test_a_deployments_version_is_its_sequence() -> None:
    path = document_path(DocumentKind.DEPLOYMENT, "site", "8")
    custom = document_field(replace(GOOD, kind=DocumentKind.DEPLOYMENT, name="site", version="8"))
    with pytest.raises(InvalidSpecificationError, match="is not its sequence 7"):
        read(custom, path=path)


def test_a_deployment_is_small() -> None:
    size = DEPLOYMENT_MOST_BYTES + 1
    field = document_field(replace(GOOD, kind=DocumentKind.DEPLOYMENT, name="site", version="7"))
    field["chunks"] = ["ab" * 32] * -(-size // CHUNK_BYTES)
    with pytest.raises(InvalidSpecificationError, match="262144 are possible"):
        read(field, path="@deployment/site/7.json", length=size)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_whatever_a_field_holds_it_is_read_or_refused(value: object) -> None:
    for key in document_field(GOOD):
        with contextlib.suppress(InvalidSpecificationError):
            read(document_field(GOOD) | {key: value})
    with contextlib.suppress(InvalidSpecificationError):
        read(value)


async def test_a_host_finds_documents_beside_components_and_fetches_both(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        image = component_bytes(100_000, "image")
        publish(site.shop)
        publish(site.shop)
        change = publish(
            site.shop,
            "valve",
            image,
            kind=DocumentKind.FIRMWARE,
            version="1.2.0",
            about={"board": "pico", "format": "uf2"},
        )
        assert change.document is not None
        await site.shop.mirror(site.transport)
        assert site.remote.documents() == ()
        assert len(await site.remote.refresh()) == 3
        assert [(each.kind, each.name, each.version) for each in site.remote.documents()] == [
            ("deployment", "site", "1"),
            ("deployment", "site", "2"),
            ("firmware", "valve", "1.2.0"),
        ]
        found = site.remote.documents()[-1]
        assert found == replace(change.document, remote="demo")
        assert await site.remote.fetch(found) == image
        assert await site.remote.fetch(site.remote.documents()[0]) == b'{"name": "site"}'


async def test_a_document_that_was_never_offered_is_not_fetched(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        await site.remote.refresh()
        with pytest.raises(UntrustedReleaseError, match="does not offer @firmware/valve"):
            await site.remote.fetch(GOOD)


async def test_kinds_of_later_versions_are_let_be_and_broken_ones_of_ours_refused(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        publish(site.shop)
        targets = site.shop.targets()
        targets.version += 1
        target = targets.targets.pop("@deployment/site/1.json")
        targets.targets["@recipe/soup/1.json"] = target
        await site.serve(site.shop.forged_state(targets, number=targets.version))
        assert len(await site.remote.refresh()) == 3
        assert site.remote.documents() == ()
        targets.version += 1
        targets.targets["@deployment/soup/1.json"] = target
        await site.serve(site.shop.forged_state(targets, number=targets.version))
        with pytest.raises(UntrustedReleaseError, match="signed as deployment site 1"):
            await site.remote.refresh()


async def test_two_deployments_with_one_sequence_are_refused(tmp_path: Path) -> None:
    async with open_site("folder", tmp_path) as site:
        for version in ("1.0.0", "1.1.0"):
            publish(site.shop, "valve", version.encode(), kind=DocumentKind.FIRMWARE, version=version)
        targets = site.shop.targets()
        targets.version += 1
        for path, target in targets.targets.items():
            if path.startswith("@"):
                target.unrecognized_fields["custom"]["sequence"] = 1
        await site.serve(site.shop.forged_state(targets, number=targets.version))
        with pytest.raises(UntrustedReleaseError, match="firmware valve has sequence 1 twice"):
            await site.remote.refresh()


def test_sequences_are_counted_by_kind_and_name_and_a_withdrawal_takes_none_back(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0", name="site")  # a component of the same name has a count of its own
    for _ in range(2):
        publish(shop)
    publish(shop, "other")
    withdraw_document(shop.folder, DocumentKind.DEPLOYMENT, "site", "2", signers=[shop.online], now=shop.now)
    again = publish(shop)
    assert again.document is not None
    assert again.document.sequence == 3
    assert [(each.name, each.sequence) for each in documents(shop.repository)] == [
        ("other", 1),
        ("site", 1),
        ("site", 3),
    ]
    assert [each.component for each in releases(shop.repository)] == ["site"]
    shown = show_repository(shop.folder, now=NOW)["documents"]
    assert [each["name"] for each in shown] == ["other", "site", "site"]


def test_only_the_newest_stay_on_offer(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    for _ in range(4):
        publish(shop, keep=2)
    assert [each.sequence for each in documents(shop.repository)] == [3, 4]
    assert len(releases(shop.repository)) == 1


def test_the_content_may_hold_its_own_sequence(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    publish(shop)
    second = publish(shop, content=lambda sequence: b"%d" % sequence)  # type: ignore[arg-type]
    assert second.document is not None
    assert (shop.folder / "chunk" / second.document.chunks[0]).read_bytes() == b"2"


def test_what_hosts_would_refuse_is_not_published(tmp_path: Path) -> None:
    shop = Workshop(tmp_path / "repository")
    shop.publish("1.0.0")
    before = shop.files()["metadata/timestamp.json"]
    with pytest.raises(InvalidSpecificationError, match="0 bytes"):
        publish(shop, content=b"")
    with pytest.raises(InvalidSpecificationError, match="no semantic version"):
        publish(shop, "valve", b"x", kind=DocumentKind.FIRMWARE, version="one")
    publish(shop, "valve", b"x", kind=DocumentKind.FIRMWARE, version="1.0.0")
    with pytest.raises(ConflictError, match="other bytes"):
        publish(shop, "valve", b"y", kind=DocumentKind.FIRMWARE, version="1.0.0")
    with pytest.raises(NotFoundError, match="not on offer"):
        withdraw_document(
            shop.folder, DocumentKind.FIRMWARE, "valve", "2.0.0", signers=[shop.online], now=shop.now
        )
    assert shop.files()["metadata/timestamp.json"] != before
