"""A page on this machine on which a person judges photographs, a key a picture.

Only 127.0.0.1 is listened on. Nobody gets anything without the random token in the address, requests that name another
host are refused (DNS rebinding), and the page loads nothing from elsewhere.
"""

import io
import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from aaam_pipeline.cli.judging import hit_of
from aaam_pipeline.cli.photos import thumbnail
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.curation.judging import JudgingSession, Question

HOST, PIXELS, QUALITY = "127.0.0.1", 1024, 85
# an answer is a few dozen bytes
LONGEST = 10_000


class JudgingServer(ThreadingHTTPServer):
    """Serves one session. Browsers open several connections; a lock keeps the session to one at a time."""

    daemon_threads = True
    # a port that somebody else listens on must not be shared
    allow_reuse_address = False

    def __init__(self, session: "JudgingSession", port: int) -> None:
        """Listen.

        Raises:
            OSError: the port is in use.
        """
        self.session, self.token = session, secrets.token_urlsafe(16)
        self.lock = threading.Lock()
        self.failure: Exception | None = None
        super().__init__((HOST, port), JudgingHandler)

    @property
    def address(self) -> str:
        """Return where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def question(self) -> dict[str, Any]:
        """Return the next question for the page, or that there is none."""
        found = next(self.session.questions(), None)
        facts = {"answered": self.session.answered, "budget": self.session.budget}
        if found is None:
            return facts | {"done": True}
        return facts | {"label": found.label, "sha256": found.place.sha256, "name": hit_of(found).location}

    def end(self, failure: Exception | None = None) -> None:
        """Stop serving; the request that says so is answered first."""
        self.failure = self.failure or failure
        threading.Thread(target=self.shutdown, daemon=True).start()


def serve(session: "JudgingSession", report: "Reporter", port: int) -> None:
    """Serve the page until all is answered or the person finishes.

    Raises:
        UsageError: the port is in use.
        AaamError, OSError: an answer could not be written into the ledger.
    """
    try:
        server = JudgingServer(session, port)
    except OSError as error:
        raise UsageError(f"--port {port}: {error.strerror or error}; 0 takes a free one") from None
    with server:
        report.info(
            f"judge on {server.address} (Ctrl-C finishes; over ssh: -L {server.server_port}:{HOST}:"
            f"{server.server_port}); in the terminal: --preview"
        )
        server.serve_forever(poll_interval=0.1)
    if server.failure:
        raise server.failure


class JudgingHandler(BaseHTTPRequestHandler):
    """Answers requests for a page, its questions and pictures, and takes answers."""

    server: JudgingServer
    server_version, sys_version = "aaam-pipe", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the token stands in the address."""

    def do_GET(self) -> None:
        """Serve the page, the next question, or a picture."""
        match self._words():
            case []:
                self._page()
            case ["next"]:
                with self.server.lock:
                    self._json(self.server.question())
            case ["image", sha256]:
                self._picture(sha256)
            case _:
                self._error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take an answer, take one back, or finish."""
        words = self._words()
        size = self.headers.get("Content-Length", "")
        if words is None or not size.isdigit() or int(size) > LONGEST:
            self._error(HTTPStatus.NOT_FOUND)
            return
        body = self.rfile.read(int(size))
        try:
            with self.server.lock:
                self._taken(words, body)
        except (ValueError, KeyError, TypeError):
            self._error(HTTPStatus.BAD_REQUEST)
        except (AaamError, OSError) as error:
            self._error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            self.server.end(error)

    def _taken(self, words: list[str], body: bytes) -> None:
        session = self.server.session
        match words:
            case ["answer"]:
                given = json.loads(body)
                question = next(session.questions(), None)
                # a key that was pressed twice, or in another window, is not of this question
                if question and (given["label"], given["sha256"]) == (question.label, question.place.sha256):
                    self._answer(question, given["shows"])
            case ["undo"]:
                session.undo()
            case ["finish"]:
                self._end({"done": True})
                return
            case _:
                raise ValueError
        following = self.server.question()
        # nobody need stay to say so
        (self._end if following.get("done") else self._json)(following)

    def _end(self, content: dict[str, Any]) -> None:
        self._json(content)
        self.server.end()

    def _answer(self, question: "Question", shows: Any) -> None:
        if shows is None:
            self.server.session.skip(question)
        elif isinstance(shows, bool):
            self.server.session.answer((question, shows))
        else:
            raise TypeError

    def _words(self) -> list[str] | None:
        """Return the parts of the address behind the token; None where the token or the host is another one."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            return None
        _, token, *words = self.path.split("?")[0].split("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return None
        return [word for word in words if word]

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        templates = Environment(loader=PackageLoader("aaam_pipeline.cli"), autoescape=True, undefined=StrictUndefined)
        page = templates.get_template("judging.html.j2").render(nonce=nonce)
        own = f"'nonce-{nonce}'"
        policy = f"default-src 'none'; img-src 'self'; connect-src 'self'; script-src {own}; style-src {own}"
        self._send(page.encode(), "text/html; charset=utf-8", policy=policy)

    def _picture(self, sha256: str) -> None:
        with self.server.lock:
            question = next(self.server.session.questions(), None)
        if question is None or question.place.sha256 != sha256:
            self._error(HTTPStatus.NOT_FOUND)
            return
        buffer = io.BytesIO()
        try:
            thumbnail(hit_of(question), PIXELS).convert("RGB").save(buffer, "JPEG", quality=QUALITY)
        except ImageError as error:
            self._error(HTTPStatus.NOT_FOUND, str(error))
            return
        self._send(buffer.getvalue(), "image/jpeg")

    def _json(self, content: dict[str, Any]) -> None:
        self._send(json.dumps(content, default=path_text).encode(), "application/json")

    def _send(self, content: bytes, kind: str, policy: str = "default-src 'none'", status: int = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _error(self, status: HTTPStatus, text: str = "") -> None:
        self._send((text or status.phrase).encode(), "text/plain; charset=utf-8", status=status)
