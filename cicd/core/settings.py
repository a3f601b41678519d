"""The numbers that the core decides with."""

import msgspec


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds.

    Attributes:
        heartbeat_s: how often a minion beats.
        suspect_s: silence after which a minion gets no new work.
        lease_s: how long a minion may go on after the sending of the last answered heartbeat.
        lease_margin_s: how much longer the master waits: clocks drift, messages take time.
        job_timeout_s: timeout of jobs that name none.
        cancel_grace_s: between asking a job to stop and killing it.
        run_timeout_s: limit of runs whose pipeline names none, from the start of the first job; 0: none.
    """

    heartbeat_s: float = 1.0
    suspect_s: float = 3.0
    lease_s: float = 10.0
    lease_margin_s: float = 3.0
    job_timeout_s: float = 3600.0
    cancel_grace_s: float = 10.0
    run_timeout_s: float = 0.0

    @property
    def expiry_s(self) -> float:
        """Silence after which what runs on a minion can no longer act."""
        return self.lease_s + self.lease_margin_s

    @property
    def resend_s(self) -> float:
        """After this long a command that shows no effect in the minion's heartbeats is sent again."""
        return 2 * self.heartbeat_s
