"""Whether a repository offers what a deployment wants, before it is signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import semver

from edgehost.domain.deployment import Deployment
from edgehost.domain.errors import NotFoundError
from edgehost.domain.signed_document import DocumentKind
from edgehost.domain.suggestion import did_you_mean
from edgehost.domain.version_range import VersionRange

_COMPONENT: Final = "component"
_FOR_DEVICE: Final = "firmware or component"


class _Wish(NamedTuple):
    key: str
    kind: str
    name: str
    within: VersionRange


def require_offered(folder: Path, deployment: Deployment, *, otherwise: str) -> None:
    """Check that the repository offers what the deployment wants; ``otherwise`` is how to have it not looked at.

    Raises:
        NotFoundError: it does not; the message says what is there.
    """
    from remotes.document_publisher import documents  # noqa: PLC0415 - TUF is slow to import
    from remotes.publisher import releases  # noqa: PLC0415 - likewise
    from remotes.repository import Repository  # noqa: PLC0415 - likewise

    repository = Repository(folder)
    repository.root()
    components: dict[str, list[str]] = {}
    for release in releases(repository):
        components.setdefault(release.component, []).append(release.version)
    for_devices = {name: list(versions) for name, versions in components.items()}
    for document in documents(repository):
        if document.kind is DocumentKind.FIRMWARE:
            for_devices.setdefault(document.name, []).append(document.version)
    for wish in _wishes(deployment):
        offered = components if wish.kind == _COMPONENT else for_devices
        versions = sorted(offered.get(wish.name, ()), key=semver.Version.parse)
        if any(map(wish.within.allows, versions)):
            continue
        if versions:
            raise NotFoundError(
                f"{wish.key} is '{wish.within.text}'; {folder} offers {', '.join(versions)}.",
                hint=f"Publish what is wanted first, or {otherwise} when another remote has it.",
            )
        raise NotFoundError(
            f"{folder} offers no {wish.kind} '{wish.name}'.",
            hint=did_you_mean(wish.name, offered)
            or f"Publish it first, or {otherwise} when another remote has it.",
        )


def _wishes(deployment: Deployment) -> Iterator[_Wish]:
    for each in deployment.components:
        if each.present:
            yield _Wish(f"components.{each.name}.version", _COMPONENT, each.name, each.versions)
    for device, wanted in deployment.firmware.items():
        name, _, versions = wanted.partition("@")
        yield _Wish(f"firmware.{device}", _FOR_DEVICE, name, VersionRange.parse(versions))
