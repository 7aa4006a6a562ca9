"""How one of several jobs reads the same files: which part of them is its own, and what happens to the rest."""

import errno
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace


class Unreadable(Exception):
    """What is wrong with a file as a whole, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Reading:
    """The items of a file whose number is `shard` modulo `shards`. `rejected` counts by reason what was set aside,
    `advance` is told how many stored bytes were read."""

    shard: int
    shards: int
    advance: Callable[[int], None] = lambda count: None
    rejected: Counter[str] = field(default_factory=Counter)

    def takes(self, number: int) -> bool:
        """Whether the item `number` is this job's."""
        return number % self.shards == self.shard

    def reject(self, reason: str, number: int) -> None:
        """Counts the item `number` if it is this job's, so that the counts of all jobs add up to those of one."""
        self.rejected[reason] += self.takes(number)

    def within(self, number: int, count: int) -> "Reading | None":
        """The reading of the inside of item `number` of `count`, or None where that is another job's. Items are shared
        out whole while there are enough of them, then what is in them."""
        jobs = [job for job in range(self.shards) if job % count == number] or [number % self.shards]
        return replace(self, shard=jobs.index(self.shard), shards=len(jobs)) if self.shard in jobs else None


def raise_unless_damaged(error: Exception) -> None:
    """Raises again what the disk or the memory, not the bytes, is to blame for."""
    disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    if disk or isinstance(error, MemoryError):
        raise error
