"""What minions are told to do, and when they are told again.

Commands are delivered at least once (R11): the minion dedupes. A connection may lose a message without breaking, so
what a minion's reports show as not done is sent again, though not with every report.
"""

from cicd.core.book import Book, JobEntry
from cicd.core.plan import Send
from cicd.messages.minion import CancelJob, Need, RunJob

_RESEND_LIMIT_S = 30.0


def send_run(book: Book, job: JobEntry) -> None:
    """Send the current attempt of a job that is held to its minion (again)."""
    run, record, attempt = job.run, job.record, job.current
    message = RunJob(
        session=attempt.session,
        run=run.record.id,
        run_number=run.record.number,
        job=record.id,
        name=record.name,
        attempt=record.attempt,
        pipeline=run.record.pipeline_name,
        plugin=run.record.plugin,
        plugin_size_bytes=run.plugin_size_bytes,
        source=run.record.source_digest,
        source_size_bytes=run.source_size_bytes,
        checkout=job.spec.checkout,
        params=run.record.params,
        needs=_needs(job),
        timeout_s=job.spec.timeout_s or book.settings.job_timeout_s,
        repository=run.record.repository,
        ref=run.record.ref,
        commit=run.record.commit,
    )
    book.plan.effects.append(Send(attempt.minion, message))
    # Twice as long each time: a minion that fetches a large plugin does not know the attempt yet either.
    waited_s = min(book.now.boot_s - job.assigned_boot_s, _RESEND_LIMIT_S)
    job.run_due_boot_s = book.now.boot_s + max(waited_s, book.settings.resend_s)


def _needs(job: JobEntry) -> tuple[Need, ...]:
    """Return the outputs that a job gets. Jobs that returned none are left out: a last job may need 10,000 others."""
    outputs = ((need, job.run.by_name[need].record.outputs) for need in dict.fromkeys(job.spec.needs))
    return tuple(Need(job=need, outputs=values) for need, values in outputs if values)


def send_cancel(book: Book, job: JobEntry) -> None:
    """Ask the minion that holds a job to stop it."""
    attempt = job.current
    message = CancelJob(
        session=book.minions[attempt.minion].record.session,
        job=attempt.job,
        attempt=attempt.attempt,
        grace_s=cancel_grace_s(book, job),
        reason=job.cancel_reason,
    )
    book.plan.effects.append(Send(attempt.minion, message))
    job.cancel_due_boot_s = book.now.boot_s + book.settings.resend_s


def cancel_grace_s(book: Book, job: JobEntry) -> float:
    """Return the seconds that a job which is cancelled has to stop: the least of what was said of it and of its run."""
    words = ((record.cancel_by, record.cancel_grace_s) for record in (job.run.record, job.record))
    default_s = book.settings.cancel_grace_s
    return min((default_s if grace_s is None else grace_s for by, grace_s in words if by), default=default_s)
