"""TinyDB on a journal: a write costs what it changes, whatever the number of documents.

Documents stay serialised in memory and are decoded when they are handed out, so nobody can change what is stored
by changing what was read. A change reaches memory only after it is durable in the journal.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Document, Table

from edgehost.adapters.storage.disk import Disk, storage_error
from edgehost.adapters.storage.document_codec import MAX_DOCUMENT_BYTES, encode_document
from edgehost.adapters.storage.folder_lock import FolderLock
from edgehost.adapters.storage.journal import Journal, Snapshot
from edgehost.adapters.storage.journal_lines import LINE_OVERHEAD, Change, journal_line, require_table
from edgehost.adapters.storage.table_views import TableDraft, TableView
from edgehost.domain.errors import TooLargeError, UnavailableError

#: Below this much dead weight a compaction would wear the flash more than it saves.
MIN_DEAD_BYTES: Final = 1024 * 1024

_log = logging.getLogger("edgehost.storage")


class JournalStorage(Storage):
    """A TinyDB storage that appends; ``folder`` holds its files and belongs to one process at a time."""

    def __init__(
        self,
        folder: Path | str,
        *,
        name: str = "records",
        disk: Disk | None = None,
        min_dead_bytes: int = MIN_DEAD_BYTES,
        max_document_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> None:
        folder = Path(folder)
        disk = disk or Disk()
        self.documents: dict[str, dict[int, bytes]] = {}
        self.tops: dict[str, int] = {}
        self.max_document_bytes = max_document_bytes
        self._min_dead_bytes = min_dead_bytes
        self._live_bytes = 0
        self._total_bytes = 0
        try:
            disk.make_folder(folder)
            self._lock = FolderLock(folder, reads_only=disk.reads_only)
        except OSError as error:
            raise storage_error(error, folder) from error
        self.journal = Journal(folder, name, disk=disk, max_line_bytes=max_document_bytes + LINE_OVERHEAD)
        try:
            self.journal.load(self._show)
        except BaseException:
            self.close()
            raise
        # What a damaged line said is lost or recovered by now: a clean base ends the matter.
        self._wants_clean_base = any(damage.acknowledged for damage in self.journal.damages)
        self._put_in_order()

    def read(self) -> dict[str, Any] | None:
        """Every table that has documents, as views."""
        return {table: TableView(documents) for table, documents in self.documents.items() if documents}

    def write(self, data: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """Make the stored tables equal to these; TinyDB calls it to drop tables."""
        changes = []
        for table, documents in self.documents.items():
            kept = {int(key) for key in data.get(table, ())}
            changes += [Change("del", table, doc_id) for doc_id in documents if doc_id not in kept]
        for table, view in data.items():
            if isinstance(view, TableView):
                continue  # handed out by ``read``: it cannot have changed
            for key, document in view.items():
                raw = encode_document(document, limit_bytes=self.max_document_bytes)
                if self.documents.get(table, {}).get(int(key)) != raw:
                    changes.append(Change("put", require_table(table), int(key), raw))
        self.apply(changes)

    def apply(self, changes: list[Change]) -> None:
        """Store these changes durably, all or none, then show them.

        Raises:
            StorageFullError, UnavailableError: nothing was changed.
            TooLargeError: together they do not fit into one line of the journal.
        """
        if not changes:
            return
        line = journal_line(changes)
        if len(line) > self.max_document_bytes + LINE_OVERHEAD:
            raise TooLargeError(
                f"The changes take {len(line)} bytes; the limit for one step is {self.max_document_bytes}.",
                hint="Make them in smaller steps.",
            )
        self.journal.append(line)
        self.publish(changes)
        self.compact_if_worthwhile()

    def publish(self, changes: Iterable[Change]) -> None:
        """Show changes that are durable."""
        for change in changes:
            self._show(change)

    @property
    def wants_compaction(self) -> bool:
        """Whether dead lines weigh as much as live ones: a base then costs at most one more write per byte."""
        dead = self._total_bytes - self._live_bytes
        return self._wants_clean_base or dead > max(self._min_dead_bytes, self._live_bytes)

    @property
    def live_bytes(self) -> int:
        """About what the documents take in a file, and in memory."""
        return self._live_bytes

    def snapshot(self) -> Snapshot:
        """What is stored now; later changes do not show in it."""
        return {table: documents.copy() for table, documents in self.documents.items() if documents}

    def compact(self) -> None:
        """Write what is stored into a file that stock TinyDB opens, and start a new journal.

        Raises:
            StorageFullError, UnavailableError: the old files stay in use.
        """
        with_dead = self._total_bytes - self._live_bytes
        try:
            generation = self.journal.rotate(self.tops)
            self.journal.write_base(generation, self.documents, pause_s=0.0)
        finally:
            self.compacted(with_dead)

    def compacted(self, dead_bytes: int) -> None:
        """Note that this much dead weight is gone (or, when it failed, is not to be tried again at once)."""
        self._total_bytes -= dead_bytes
        self._wants_clean_base = False

    def compact_if_worthwhile(self) -> None:
        """Compact when it saves more than it wears; what is stored does not depend on its success."""
        if self.wants_compaction:
            try:
                self.compact()
            except UnavailableError as error:
                _log.warning("Documents were not compacted: %s", error)

    @property
    def dead_bytes(self) -> int:
        """About what a compaction would save."""
        return self._total_bytes - self._live_bytes

    def close(self) -> None:
        """Give files and folder back; harmless when repeated."""
        self.journal.close()
        self._lock.release()

    def _show(self, change: Change) -> None:
        op, table, doc_id, raw = change
        size = change.weight
        self._total_bytes += size
        self.tops[table] = max(self.tops.get(table, 0), doc_id)
        if op == "top":
            return
        documents = self.documents.setdefault(table, {})
        old = documents.get(doc_id)
        if old is not None:
            self._live_bytes -= size - len(raw) + len(old)
        if op == "put":
            self._live_bytes += size
            documents[doc_id] = raw
        elif old is not None:
            del documents[doc_id]

    def _put_in_order(self) -> None:
        """Order of creation is order of ids; a recovered document may have come late."""
        for table, documents in self.documents.items():
            ids = list(documents)
            if any(later < earlier for earlier, later in itertools.pairwise(ids)):
                self.documents[table] = dict(sorted(documents.items()))


class JournalTable(Table):
    """A TinyDB table whose writes append to the journal instead of writing every table anew."""

    _storage: JournalStorage

    def _read_table(self) -> Any:  # noqa: ANN401  TinyDB asks for a dict and only reads
        return TableView(self._storage.documents.get(self.name, {}))

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        draft = TableDraft(self._storage.documents.get(self.name, {}))
        updater(draft)
        self._storage.apply(draft.changes(require_table(self.name), self._storage.max_document_bytes))
        self.clear_cache()

    def _get_next_id(self) -> int:
        return self._storage.tops.get(self.name, 0) + 1

    def insert_multiple(self, documents: Iterable[Mapping[str, Any]]) -> list[int]:
        """Insert all or none."""
        first = self._get_next_id()  # type: ignore[no-untyped-call,unused-ignore]
        numbered: list[Mapping[str, Any]] = [
            document if isinstance(document, Document) else Document(document, first + place)
            for place, document in enumerate(documents)
        ]
        return super().insert_multiple(numbered)


class JournalDB(TinyDB):
    """TinyDB as usual, on the journal: ``JournalDB(folder)``."""

    table_class = JournalTable

    def __init__(self, folder: Path | str, **options: Any) -> None:  # noqa: ANN401  the storage's own options
        super().__init__(folder, storage=JournalStorage, **options)

    @property
    def storage(self) -> JournalStorage:
        """The journal behind this database."""
        assert isinstance(self._storage, JournalStorage)  # noqa: S101  the constructor said so
        return self._storage
