"""Bring a model's records into a new release's form before it takes calls, or back when it has to go.

Each record is handed to the release's ``migrate`` export while the release before serves on. What it answers is
held in memory, what the record was is kept beside it on the disk. Then, while writers and readers of the model
wait, whatever changed meanwhile is done again, all records are replaced, and calls go to the new release.

Rule 1: no record is replaced before every record has its new form.
Rule 2: what is kept and the note of it are durable before the first record is replaced; which of the two forms
holds after a crash is decided by the ledger alone: the live release's.
Rule 3: what is kept stays until the new release has proved itself. A rollback until then brings it back.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from edgehost.domain.component_spec import ComponentSpec
from edgehost.domain.errors import EdgehostError, IncompatibleReleaseError
from edgehost.domain.model_spec import ModelSpec
from edgehost.domain.record_forms import RecordForm, Way, way_to
from edgehost.domain.release_life import Release
from edgehost.domain.traffic_events import MigrationProgressed, MigrationRefused, RecordsMigrated
from edgehost.usecases.kept_records import KeptRecords, Restored
from edgehost.usecases.new_forms import NewForms
from edgehost.usecases.record_keeping import RecordKeeping
from edgehost.usecases.running_components import Pool

log = logging.getLogger("edgehost.migration")

#: Records beyond this number would keep a model's callers waiting for more than some ten seconds.
MOST_RECORDS: Final = 100_000
#: Calls that are on their way when the gate closes end by their own deadlines, which are mostly below this.
_GATE_TIMEOUT_S: Final = 60.0


class ServesModels(Protocol):
    """Where models are served."""

    def serve(self, spec: ComponentSpec, *, digest: str) -> None:
        """Serve this release's model from now on."""
        ...

    def withdraw(self, component: str) -> None:
        """Serve the component's model no longer."""
        ...


@dataclass(frozen=True, slots=True)
class RecordMigrations:
    """Records from one release's form to another's."""

    keeping: RecordKeeping
    kept: KeptRecords
    serves: ServesModels
    most_records: int = MOST_RECORDS

    async def require_way(self, release: Release, spec: ComponentSpec, last: str) -> Way:
        """What the release needs of the stored records; ``last`` is the version that was live last.

        Raises:
            IncompatibleReleaseError: it cannot read them, and there is no way back for them.
        """
        if spec.model is None:
            return Way.AS_THEY_ARE
        form = await self.kept.form(spec.model.name)
        way = way_to(
            form,
            version=release.version,
            digest=release.digest,
            migrates=bool(spec.model.migrate),
            from_version=last,
        )
        if way is Way.NONE and form is not None:
            raise IncompatibleReleaseError(
                f"The records of '{spec.model.name}' are in the form of {release.component} {form.version}, which "
                f"{release.version} does not know, and what they were before is no longer kept.",
                hint="Publish a newer release whose 'migrate' brings them back.",
            )
        return way

    @asynccontextmanager
    async def moved(
        self, release: Release, spec: ComponentSpec, pool: Pool, *, before: ComponentSpec | None, last: str
    ) -> AsyncIterator[None]:
        """Within the block nobody else works on the records, and the release is made live.

        Raises:
            IncompatibleReleaseError: a record has no form in this release; nothing was changed.
            EdgehostError: not now, or what the block raises; nothing was changed.
        """
        way = await self.require_way(release, spec, last)
        if spec.model is None or way is Way.AS_THEY_ARE:
            yield
        elif way is Way.RESTORE:
            async with self._back(release, spec.model):
                yield
        else:
            async with self._forth(release, spec, spec.model, pool, before=before, last=last):
                yield

    async def settle(self, spec: ComponentSpec) -> None:
        """The live release has proved itself: what the records were before is no longer kept."""
        form = None if spec.model is None else await self.kept.form(spec.model.name)
        if spec.model is not None and form is not None and form.kept and form.done:
            await self.kept.note(spec.model.name, replace(form, kept=False, earlier=None))
            await self.kept.drop(self.kept.space(spec.model.name, form.digest))

    async def recover(
        self, live: Callable[[str], Release | None], by_digest: Callable[[str], Release | None]
    ) -> None:
        """Put right what the last run of the host was cut short in, before anything is started."""
        for model, form in await self.kept.forms():
            space = self.kept.space(model, form.digest)
            running, known = live(form.component), by_digest(form.digest)
            is_live = running is not None and running.digest == form.digest
            went_live = is_live or form.done or (known is not None and known.live_at >= form.noted_at)
            if not went_live:
                await self.kept.put_back(space, model)
                await self._forget(model, form)
                log.warning("A migration of '%s' was cut short; its records are what they were.", model)
            elif form.restoring and not is_live:
                await self._restore(model, form)
            elif running is not None and form.kept and not running.probation_until:
                await self.kept.note(
                    model, replace(form, kept=False, earlier=None, restoring=False, done=True)
                )
                await self.kept.drop(space)
            elif form.restoring or not form.done:
                await self.kept.note(model, replace(form, restoring=False, done=True))
        in_use = {self.kept.space(model, form.digest) for model, form in await self.kept.forms() if form.kept}
        for space in await self.kept.begun():
            if space not in in_use:
                await self.kept.drop(space)
            await self.kept.ended(space)

    @asynccontextmanager
    async def _forth(
        self,
        release: Release,
        spec: ComponentSpec,
        model: ModelSpec,
        pool: Pool,
        *,
        before: ComponentSpec | None,
        last: str,
    ) -> AsyncIterator[None]:
        form = await self.kept.form(model.name)
        last = last or (form.version if form else "")
        space = self.kept.space(model.name, release.digest)
        forms = NewForms(self.keeping, self.kept, release, spec, model, pool, last, space)
        try:
            await self.kept.begin(space)
            await self._prepare(forms)
            async with self.keeping.gates.closed(model.name, timeout_s=_GATE_TIMEOUT_S):
                await self._prepare(forms)
                if forms.changed:
                    async with self._replaced(forms, form, before):
                        yield
                else:
                    await self.kept.drop(space)  # the form is the one before, and so is the way back
                    yield
        except EdgehostError as error:
            await self.kept.drop(space)
            await self.kept.ended(space)
            self._tell_refusal(forms, error)
            raise
        self._tell(release, model.name, from_version=last, count=forms.made, how="migrate")
        with _left_for_the_next_start(model.name):
            await self.kept.ended(space)
            if form is not None and form.kept and forms.changed:
                await self.kept.drop(self.kept.space(model.name, form.digest))

    async def _prepare(self, forms: NewForms) -> None:
        total = await self.keeping.store.count(forms.model.name)
        if total > self.most_records:
            raise IncompatibleReleaseError(
                f"'{forms.model.name}' has {total} records; {self.most_records} can be migrated.",
                hint="Export what is old and delete it first.",
            )
        await forms.prepare(lambda done: self._tell_progress(forms, done, total))

    @asynccontextmanager
    async def _replaced(
        self, forms: NewForms, form: RecordForm | None, before: ComponentSpec | None
    ) -> AsyncIterator[None]:
        release, model = forms.release, forms.model.name
        start = form or RecordForm(release.component, "", "", "")
        noted = start.followed_by(
            release.component,
            release.version,
            release.digest,
            forms.from_version,
            self.keeping.clock.now(),
        )
        noted = noted if form else replace(noted, earlier=None)
        try:
            await self.kept.note(model, noted)
            self.serves.serve(forms.spec, digest=release.digest)  # stored as its specification says
            await forms.replace_all()
            noted = replace(noted, revision=self.keeping.next_revision(self.keeping.clock.now()))
            await self.kept.note(model, noted)
            yield
        except EdgehostError:
            if before is None:
                self.serves.withdraw(release.component)
            else:
                self.serves.serve(before, digest="")
            await self.kept.put_back(forms.space, model)
            await self.kept.note(model, form)
            raise
        with _left_for_the_next_start(model):
            await self.kept.note(model, replace(noted, done=True))

    @asynccontextmanager
    async def _back(self, release: Release, model: ModelSpec) -> AsyncIterator[None]:
        """The ledger first, then the records: a crash in between is made good when the host starts."""
        form = await self.kept.form(model.name)
        if form is None:
            yield
            return
        async with self.keeping.gates.closed(model.name, timeout_s=_GATE_TIMEOUT_S):
            await self.kept.note(model.name, replace(form, restoring=True))
            try:
                yield
            except EdgehostError:
                await self.kept.note(model.name, form)
                raise
            with _left_for_the_next_start(model.name):
                restored = await self._restore(model.name, form)
                self._tell(
                    release,
                    model.name,
                    from_version=form.version,
                    count=restored.count,
                    how="restored",
                    set_aside=restored.set_aside,
                )

    async def _restore(self, model: str, form: RecordForm) -> Restored:
        now = self.keeping.clock.now()
        restored = await self.kept.restore(
            self.kept.space(model, form.digest),
            model,
            since=form.revision or self.keeping.next_revision(now),
            next_revision=lambda: self.keeping.next_revision(now),
        )
        await self._forget(model, form)
        if restored.set_aside:
            log.warning(
                "%d records of '%s' were written in the form of %s; they are set aside in the table '%s'.",
                restored.set_aside,
                model,
                form.version,
                self.kept.aside(model),
            )
        return restored

    async def _forget(self, model: str, form: RecordForm) -> None:
        await self.kept.note(model, form.before)
        await self.kept.drop(self.kept.space(model, form.digest))

    def _tell_progress(self, forms: NewForms, done: int, total: int) -> None:
        self.keeping.bus.publish(
            MigrationProgressed(
                at=self.keeping.clock.now(),
                component=forms.release.component,
                version=forms.release.version,
                model=forms.model.name,
                done=done,
                total=total,
            )
        )

    def _tell(
        self, release: Release, model: str, *, from_version: str, count: int, how: str, set_aside: int = 0
    ) -> None:
        self.keeping.bus.publish(
            RecordsMigrated(
                at=self.keeping.clock.now(),
                component=release.component,
                version=release.version,
                model=model,
                from_version=from_version,
                count=count,
                how=how,
                set_aside=set_aside,
            )
        )

    def _tell_refusal(self, forms: NewForms, error: EdgehostError) -> None:
        self.keeping.bus.publish(
            MigrationRefused(
                at=self.keeping.clock.now(),
                component=forms.release.component,
                version=forms.release.version,
                model=forms.model.name,
                id=getattr(error, "record_id", ""),
                reason=error.message,
            )
        )


@contextmanager
def _left_for_the_next_start(model: str) -> Iterator[None]:
    """The release is live, and nothing takes that back: what cannot be written now is made good by ``recover``."""
    try:
        yield
    except EdgehostError as error:
        log.error("The records of '%s' are put in order when the host starts again: %s", model, error)  # noqa: TRY400
