"""In which version's form a model's records are, and what it takes to run another version on them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import semver


class Way(enum.Enum):
    """What happens to the records when a release takes over."""

    AS_THEY_ARE = "as they are"
    MIGRATE = "migrate"
    RESTORE = "restore"  # what they were before the running version's form
    NONE = "none"  # the release cannot read them


@dataclass(frozen=True, slots=True)
class RecordForm:
    """The form that a model's records were last brought into."""

    component: str
    version: str  # the first release that has this form
    digest: str
    from_version: str  # the release that was live before
    noted_at: float = 0.0  # unix seconds, before the first record was replaced
    kept: bool = True  # the records as they were before are still there
    done: bool = False  # the release of this form went live with it
    restoring: bool = False  # the records are on their way back
    revision: str = ""  # the last one that the change of form handed out
    earlier: Mapping[str, Any] | None = None  # the form before, without its own

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RecordForm:
        """The form as it is stored."""
        return cls(**{name: document[name] for name in cls.__dataclass_fields__ if name in document})

    def to_document(self) -> dict[str, Any]:
        """What is stored."""
        return asdict(self)

    def followed_by(
        self, component: str, version: str, digest: str, from_version: str, at: float
    ) -> RecordForm:
        """The form that comes after this one."""
        earlier = replace(self, earlier=None).to_document()
        return RecordForm(component, version, digest, from_version, at, earlier=earlier)

    @property
    def before(self) -> RecordForm | None:
        """The form that the kept records have, when it was noted."""
        return None if self.earlier is None else RecordForm.from_document(self.earlier)


def way_to(form: RecordForm | None, *, version: str, digest: str, migrates: bool, from_version: str) -> Way:
    """What the release needs of records in this form; ``from_version`` was live last, "" when none ever was."""
    if form is not None:
        if digest == form.digest:
            return Way.AS_THEY_ARE
        if _older(version, form.version):
            before = form.before
            readable = before is None or not _older(version, before.version)
            return Way.RESTORE if form.kept and readable else Way.NONE
    if migrates and (from_version or form is not None):
        return Way.MIGRATE
    return Way.AS_THEY_ARE


def _older(version: str, other: str) -> bool:
    return semver.Version.parse(version) < semver.Version.parse(other)
