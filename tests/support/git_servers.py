"""Git servers for tests: https with a certificate of its own and a token, and an sshd on loopback."""

from __future__ import annotations

import base64
import datetime as dt
import getpass
import http.server
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from build_support import Origin
from cicd.plugins.build.settings import HostCredential
from cicd.testing.waiting import wait_until

TOKEN = "t0ken-that-nobody-may-see"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def private_file(path: Path, content: str) -> str:
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


# ---- https ---------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1; return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


class GitHandler(http.server.BaseHTTPRequestHandler):
    """`git http-backend` behind basic authentication."""

    root: Path
    requests: list[str]
    redirect_to = ""
    protocol_version = "HTTP/1.1"  # with lengths: an end without a TLS goodbye is an error to GnuTLS

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        pass

    def serve(self) -> None:
        self.requests.append(self.path)
        wanted = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        if self.path.startswith("/moved"):
            self.send_response(301)
            self.send_header("Location", f"{self.redirect_to}{self.path.removeprefix('/moved')}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.backend()

    def backend(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.root),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "x",
        }
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class HttpsGit:
    """The server: its port, its certificate, and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.cert, key = certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.requests: list[str] = []
        self.handler = type("Handler", (GitHandler,), {"root": folder, "requests": self.requests})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.server.daemon_threads = False
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def url(self, path: str = "origin/.git") -> str:
        return f"https://127.0.0.1:{self.port}/{path}"

    def credential(self, tmp_path: Path, token: str = TOKEN) -> HostCredential:
        token_file = private_file(tmp_path / "token", token + "\n")
        return HostCredential(host=f"127.0.0.1:{self.port}", token_file=token_file, ca_file=str(self.cert))

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def keygen(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


class Sshd:
    """An sshd for this user, on a port of its own, that knows one key."""

    def __init__(self, folder: Path) -> None:
        assert SSHD is not None
        client = folder / "of the client, 100%"  # a name that ssh's options need quotes for
        client.mkdir(parents=True)
        self.host_key, self.user_key = keygen(folder / "host_key"), keygen(client / "user_key")
        shutil.copy(f"{self.user_key}.pub", folder / "authorized_keys")
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        config = {
            "Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": self.host_key, "PidFile": "none",
            "AuthorizedKeysFile": folder / "authorized_keys", "StrictModes": "no", "UsePAM": "no",
            "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "PermitRootLogin": "yes",
            "LogLevel": "ERROR",
        }  # fmt: skip
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd as root leaves privileges behind
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")])
        wait_until(self._listens, 15, "sshd to listen")
        public = Path(f"{self.host_key}.pub").read_text().split()[:2]
        self.known_hosts = client / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {' '.join(public)}\n")

    def _listens(self) -> bool:
        assert self.process.poll() is None, "sshd has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, origin: Origin) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{origin.path}"

    def credential(self, **fields: str) -> HostCredential:
        known = {"ssh_key_file": str(self.user_key), "known_hosts_file": str(self.known_hosts)}
        return HostCredential(host="127.0.0.1", **(known | fields))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
