"""How many events of its own a component may publish: so many a second, and as many at once."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Components that are remembered; one that was quiet for a second needs no memory.
_MOST_NAMES = 1000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    told_at: float = float("-inf")
    refused: int = 0


@dataclass(slots=True)
class EventRate:
    """A bucket of events for each component, refilled as time goes by."""

    per_s: float = 1000.0
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def admits(self, name: str, now: float) -> bool:
        """Whether one more may be published now (monotonic seconds); counts it."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= _MOST_NAMES:
                self._buckets = {n: b for n, b in self._buckets.items() if now - b.at < 1}
            bucket = self._buckets[name] = _Bucket(self.per_s, now)
        bucket.left = min(self.per_s, bucket.left + (now - bucket.at) * self.per_s)
        bucket.at = now
        if bucket.left >= 1:
            bucket.left -= 1
            return True
        bucket.refused += 1
        return False

    def to_tell(self, name: str, now: float) -> int:
        """How many were refused since it was last told; 0 when that was within this second."""
        bucket = self._buckets[name]
        if now - bucket.told_at < 1:
            return 0
        count, bucket.refused, bucket.told_at = bucket.refused, 0, now
        return count
