"""What people type for a repository, a ref and a folder, made into what git is given. Pure: no I/O.

What is accepted, and the long form it becomes:

    owner/name, github.com/owner/name, host/owner/name   https://host/owner/name.git
    https://host[:port]/path                             the same
    ssh://[user@]host[:port]/path                        the same, user `git` when there is none
    user@host:path                                       ssh://user@github.com/path for GitHub, else the same (the path
                                                         starts at the user's home, which no ssh:// URL says)
    /path, file:///path                                  /path, only where local sources are allowed

Everything else is refused: other transports (`ext::` runs commands), credentials in a URL (they would be stored and
shown), what git could take for an option, and hosts that are not on the allow-list.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from cicd.errors import RefusedError, UserError
from cicd.messages.pipeline import Source

GITHUB = "github.com"
MAX_LENGTH = 1000
"""Longest text of a repository, a ref or a folder."""

_PORTS = {"https": 443, "ssh": 22}
_SHORT = re.compile(
    r"(?:(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)/)?(?P<owner>[\w-][\w.-]*)/(?P<name>[\w.-]+?)(?:\.git)?/?", re.ASCII
)
_SCP = re.compile(r"(?P<user>[\w][\w.-]*)@(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+):(?P<path>[^:].*)", re.ASCII)
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?")
_USER = re.compile(r"\w[\w.-]*", re.ASCII)
_URL_PATH = re.compile(r"[\w./~+@%:,=-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


@dataclass(frozen=True, slots=True)
class Address:
    """A repository's transport and host.

    Attributes:
        scheme: `https`, `ssh` or `file`.
        host: lower case, IPv6 in brackets; empty for a local path.
        port: the port in use, the transport's own if the URL names none; 0 for a local path.
        user: for ssh.
    """

    scheme: str
    host: str = ""
    port: int = 0
    user: str = ""


def make_source(
    repository: str,
    ref: str = "",
    path: str = "",
    *,
    allowed_hosts: Iterable[str] = (GITHUB,),
    allow_local: bool = False,
) -> Source:
    """Return a source from what a person typed; an empty `path` is `.cicd`.

    Raises:
        RefusedError: the host, or local paths, are not allowed.
        UserError: what is wrong with the repository, the ref or the folder.
    """
    return Source(
        repository=canonical(repository, allowed_hosts=allowed_hosts, allow_local=allow_local),
        ref=check_ref(ref),
        path=check_path(path or ".cicd"),
    )


def canonical(text: str, *, allowed_hosts: Iterable[str] = (GITHUB,), allow_local: bool = False) -> str:
    """Return a repository's long form. What this returns, it accepts again unchanged.

    Raises:
        RefusedError: the host, or local paths, are not allowed.
        UserError: it is no repository that can be cloned.
    """
    _check_text("repository", text)
    url = _local_path(text, allow_local=allow_local) or _short_form(text) or _scp_form(text) or text
    if url.startswith("/"):
        return url
    address = parse(url)
    _check_host(address, allowed_hosts)
    return _long_form(url, address)


def parse(url: str) -> Address:
    """Return the address in a repository's long form.

    Raises:
        UserError: it is none.
    """
    if url.startswith("/"):
        return Address("file")
    scp = _SCP.fullmatch(url) if "://" not in url else None
    if scp:
        return Address("ssh", _checked_host(scp["host"], url), _PORTS["ssh"], scp["user"])
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UserError(f"{url!r} is not a repository's URL") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise UserError(f"{url!r}: a repository is owner/name, an https:// or ssh:// URL, not {scheme or 'this'!r}")
    if parts.password is not None or (scheme == "https" and "@" in parts.netloc):
        raise UserError("a repository's URL must hold no credentials: they belong in the config, compiler.credentials")
    user = parts.username or "git" if scheme == "ssh" else ""
    if user and not _USER.fullmatch(user):
        raise UserError(f"{url!r}: not a user's name: {user!r}")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise UserError(f"{url!r}: a repository's URL has no query and no fragment")
    _check_url_path(parts.path, url)
    brackets = f"[{host}]" if ":" in host else host
    return Address(scheme, _checked_host(brackets, url), port if port is not None else _PORTS[scheme], user)


def allowed(address: Address, entry: str) -> bool:
    """Return whether an entry of the config, `host` (any port) or `host:port`, means this address."""
    entry = entry.strip().lower()
    return entry in (address.host, f"{address.host}:{address.port}")


def check_ref(ref: str) -> str:
    """Return a branch, tag or commit unchanged; empty: the default branch. The rules are `git check-ref-format`'s.

    Raises:
        UserError: git has no such refs, or could take it for an option.
    """
    if not ref:
        return ref
    _check_text("ref", ref)
    wrong = (
        _REF_FORBIDDEN.search(ref)
        or ref == "@"
        or ref.endswith((".", "/"))
        or any(part.startswith(".") or part.endswith(".lock") or not part for part in ref.split("/"))
    )
    if wrong:
        raise UserError(f"{ref!r} is not the name of a branch or tag, nor a commit")
    return ref


def check_path(path: str) -> str:
    """Return a folder inside a repository in its shortest form; `.` is the repository's root.

    Raises:
        UserError: it is absolute or leads out of the repository.
    """
    _check_text("path", path)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\\" in path:
        raise UserError(f"{path!r}: the folder has to be inside the repository, relative to its root")
    if any(part.lower() == ".git" for part in parts):
        raise UserError(f"{path!r}: the folder .git is git's own")
    return "/".join(parts) or "."


def _check_text(what: str, text: str) -> None:
    if not text.strip():
        raise UserError(f"the {what} is empty")
    if len(text) > MAX_LENGTH:
        raise UserError(f"the {what} is longer than {MAX_LENGTH} characters")
    if text.startswith("-"):
        raise UserError(f"the {what} {text!r} begins with a dash, as options do")
    if _CONTROL.search(text):
        raise UserError(f"the {what} {text!r} holds control characters")


def _local_path(text: str, *, allow_local: bool) -> str:
    path = text.removeprefix("file://")
    if not path.startswith("/"):
        if path != text:
            raise UserError(f"{text!r}: a file URL has three slashes and no host")
        return ""
    if not allow_local:
        raise RefusedError(f"{text!r}: local repositories are not allowed here; the config key is compiler.allow_local")
    if ".." in path.split("/"):
        raise UserError(f"{text!r}: write the path without ..")
    return path.rstrip("/") or "/"


def _short_form(text: str) -> str:
    short = _SHORT.fullmatch(text)
    if not short or {short["owner"], short["name"]} & {"..", "."}:
        return ""
    return f"https://{(short['host'] or GITHUB).lower()}/{short['owner']}/{short['name']}.git"


def _scp_form(text: str) -> str:
    scp = _SCP.fullmatch(text) if "://" not in text else None
    if not scp:
        return ""
    _check_url_path("/" + scp["path"], text)
    if scp["path"].startswith("-"):
        raise UserError(f"{text!r}: the path begins with a dash, as options do")
    host = _checked_host(scp["host"], text)
    if host == GITHUB:
        return f"ssh://{scp['user']}@{host}/{scp['path'].lstrip('/')}"
    return f"{scp['user']}@{host}:{scp['path']}"


def _long_form(url: str, address: Address) -> str:
    if "://" not in url:
        return url
    path = urlsplit(url).path.rstrip("/")
    if address.host == GITHUB and not path.endswith(".git"):
        path += ".git"
    port = "" if address.port == _PORTS[address.scheme] else f":{address.port}"
    user = f"{address.user}@" if address.user else ""
    return f"{address.scheme}://{user}{address.host}{port}{path}"


def _check_url_path(path: str, url: str) -> None:
    decoded = unquote(path)
    if not path.strip("/"):
        raise UserError(f"{url!r} names no repository on its host")
    if not _URL_PATH.fullmatch(path) or _CONTROL.search(decoded) or " " in decoded:
        raise UserError(f"{url!r}: the path holds characters that a repository's URL cannot have")
    if ".." in decoded.split("/"):
        raise UserError(f"{url!r}: write the path without ..")


def _checked_host(host: str, url: str) -> str:
    host = host.lower()
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise UserError(f"{url!r}: not a host: {host!r}") from None
    if not _HOST.fullmatch(host):
        raise UserError(f"{url!r}: not a host: {host!r}")
    return host.rstrip(".")


def _check_host(address: Address, allowed_hosts: Iterable[str]) -> None:
    entries = tuple(allowed_hosts)
    if any(allowed(address, entry) for entry in entries):
        return
    shown = address.host if address.port == _PORTS[address.scheme] else f"{address.host}:{address.port}"
    raise RefusedError(
        f"host {shown!r} is not allowed; the config key compiler.allowed_hosts has: {', '.join(entries) or 'no host'}"
    )
