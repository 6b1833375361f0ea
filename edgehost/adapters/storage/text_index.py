"""Which records have which words in their full-text fields; small, and bounded."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from sortedcontainers import SortedList

from edgehost.adapters.storage.field_index import beyond_prefix, in_creation_order
from edgehost.domain.record import Record
from edgehost.domain.record_conditions import record_words, wanted_words
from edgehost.domain.record_query import Words

#: A posting takes 8 bytes: past these the index gives up, and searches look at every record.
MAX_POSTINGS: Final = 1_000_000
MAX_DISTINCT_WORDS: Final = 200_000
#: A beginning that so many words share selects nothing.
_MOST_WORDS: Final = 2000


class TextIndex:
    """Words and the documents that have them; ``fits`` turns false for good when there are too many."""

    def __init__(self, fields: tuple[str, ...], *, complete: bool, max_postings: int = MAX_POSTINGS) -> None:
        self.fields = fields
        self.complete = complete
        self.fits = True
        self._max_postings = max_postings
        self._count = 0
        self._words: Any = SortedList()
        self._postings: dict[str, array[int]] = {}

    def add(self, doc_id: int, record: Record) -> None:
        """Note the record's words; noting them twice changes nothing."""
        if not self.fits:
            return
        for word in record_words(record, self.fields):
            postings = self._postings.get(word)
            if postings is None:
                postings = self._postings[word] = array("q")
                self._words.add(word)
            place = bisect_left(postings, doc_id)
            if place == len(postings) or postings[place] != doc_id:
                postings.insert(place, doc_id)
                self._count += 1
        if self._count > self._max_postings or len(self._postings) > MAX_DISTINCT_WORDS:
            self.fits = False
            self._words.clear()
            self._postings.clear()

    def discard(self, doc_id: int, record: Record) -> None:
        """Forget the record's words."""
        if not self.fits:
            return
        for word in record_words(record, self.fields):
            postings = self._postings.get(word)
            if postings is None:
                continue
            place = bisect_left(postings, doc_id)
            if place < len(postings) and postings[place] == doc_id:
                del postings[place]
                self._count -= 1
                if not postings:
                    del self._postings[word]
                    self._words.remove(word)

    def candidates(self, condition: Words) -> Postings | None:
        """The documents that have the rarest of the words that are looked for; None when the index cannot tell."""
        if not (self.complete and self.fits) or condition.fields != self.fields:
            return None
        wanted = wanted_words(condition.text)
        if not wanted:
            return Postings((), exact=True)
        best: Postings | None = None
        for beginning in wanted:
            beyond = beyond_prefix(beginning)
            found = self._words.irange(beginning, beyond or None, inclusive=(True, False))
            words = list(islice(found, _MOST_WORDS + 1))
            if len(words) <= _MOST_WORDS:
                postings = Postings([self._postings[word] for word in words], exact=len(wanted) == 1)
                if best is None or len(postings) < len(best):
                    best = postings
        return best


class Postings:
    """The documents of some words; valid until the loop turns."""

    def __init__(self, lists: Iterable[Iterable[int]], *, exact: bool) -> None:
        self._lists = tuple(lists)
        # Two words of one record count twice: an upper bound, unless there is one word only.
        self.exact = exact and len(self._lists) <= 1
        self._size = sum(len(each) for each in self._lists if isinstance(each, array | tuple))

    def __len__(self) -> int:
        return self._size

    def doc_ids(self, after: int | None, *, descending: bool, enough: int) -> list[int]:  # noqa: ARG002  as in Candidates
        """The documents beyond ``after``, in the order of creation."""
        return in_creation_order(list(set().union(*self._lists)), after, descending=descending)
