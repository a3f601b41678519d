"""Which ready job goes to which minion: first come, first served; round robin.

Dispatch follows every batch of events, so that a result frees a slot and the next job leaves in the same step. It costs
nothing while no minion is open or no job is ready.
"""

from cicd.core import attempts
from cicd.core.book import Book
from cicd.core.ready import meets


def dispatch(book: Book) -> None:
    """Give ready jobs to open minions until one of both runs out."""
    while len(book.ring) and (head := book.ready.first()) is not None:
        job_id, requirements = head
        place = book.ring.next(
            lambda place, wanted=requirements: meets(book.minions[book.minion_by_place[place]].record, wanted)  # type: ignore[misc]  # bound now
        )
        if place is None:
            book.ready.block(requirements)
        else:
            attempts.assign(book, book.jobs[job_id], book.minions[book.minion_by_place[place]])
