"""Gate: who may connect to the master's sockets for minions, as the core decided."""

from __future__ import annotations

from collections.abc import Sequence

from cicd.actors.routes import Routes
from cicd.codec import Codec
from cicd.core.cluster import Cluster
from cicd.core.plan import Access, Admit, AnswerJoiner, CloseToken, Expel, OpenToken
from cicd.messages.cluster import TokenRecord
from cicd.messages.enrol import TO_JOINER
from cicd.transport.base import Listener, PeerId
from cicd.transport.policy import ENROL_DOMAIN, MINION_DOMAIN, KeyRing, minion_user


class Gate:
    """Carries out the core's decisions about access; used by the Scheduler's thread.

    Args:
        keyring: who gets in.
        enrol: the enrol socket.
        work: the sockets that a minion's own key opens.
        routes: which connection speaks for whom.
    """

    def __init__(self, keyring: KeyRing, enrol: Listener, work: Sequence[Listener], routes: Routes) -> None:
        self._keyring = keyring
        self._enrol = enrol
        self._work = tuple(work)
        self._routes = routes
        self._codec = Codec(TO_JOINER)

    def load(self, cluster: Cluster) -> None:
        """Let in everybody that a restored core knows; before the sockets are started."""
        for minion in cluster.book.minions.values():
            if minion.record.key:
                self.carry_out(Admit(minion.record.id, minion.record.key))
        for token in cluster.book.tokens.values():
            if not token.revoked:
                self.carry_out(OpenToken(token))

    def carry_out(self, effect: Access) -> None:
        """Do what the core decided."""
        match effect:
            case Admit(minion, key):
                self._keyring.add(MINION_DOMAIN, key, minion_user(minion))
            case Expel(minion, key):
                self._keyring.remove(MINION_DOMAIN, key)
                self._routes.forget(minion)
                for listener in self._work:
                    listener.cut(minion_user(minion))
            case OpenToken(token):
                for domain in _domains(token):
                    self._keyring.add(domain, token.client_public, token.id)
            case CloseToken(token):
                for domain in _domains(token):
                    self._keyring.remove(domain, token.client_public)
            case AnswerJoiner(origin, message):
                self._enrol.send(PeerId(origin), self._codec.encode(message))


def _domains(token: TokenRecord) -> tuple[str, ...]:
    # An expired token still opens the enrol socket: there its holder is told so.
    return (ENROL_DOMAIN,) if token.enrol_only else (ENROL_DOMAIN, MINION_DOMAIN)
