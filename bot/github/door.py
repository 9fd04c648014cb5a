"""The one door to a repository: PyGithub behind a lock, with our token, our retries and our errors."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

import httpx
import stamina
from github import Auth, Github
from github.Repository import Repository as GhRepository

from bot.core.errors import Conflict, Permanent, Transient, Unauthentic, UserError
from bot.github.errors import Access, RateLimited, translated

API_VERSION = "2022-11-28"
USER_AGENT = "swarm-build"
_OPEN_TIMEOUT_S = 20.0

T = TypeVar("T")
Call = Callable[[GhRepository], T]


class Waits(TypedDict):
    """Arguments of `stamina.retry_context`."""

    attempts: int
    timeout: float | None
    wait_initial: float
    wait_max: float
    wait_jitter: float


@dataclass(frozen=True, slots=True)
class Patience:
    """How long we try by ourselves. What takes longer goes to the engine as `Transient` with `retry_after_s`."""

    attempts: int = 4
    first_wait_s: float = 0.4
    longest_wait_s: float = 20.0
    """Also the longest `Retry-After` that is sat out here."""

    @property
    def waits(self) -> Waits:
        return Waits(
            attempts=self.attempts,
            timeout=None,
            wait_initial=self.first_wait_s,
            wait_max=self.longest_wait_s,
            wait_jitter=self.first_wait_s,
        )

    def worth_another_try(self, error: Exception) -> bool | float:
        """For stamina: whether to try again, or the seconds to wait before it."""
        if not isinstance(error, Transient):
            return False
        if error.retry_after_s is None:
            return True
        return error.retry_after_s if error.retry_after_s <= self.longest_wait_s else False

    def surely_refused(self, error: Exception) -> bool | float:
        """Like `worth_another_try`, but only if GitHub did nothing: safe for calls that create."""
        return self.worth_another_try(error) if isinstance(error, RateLimited) else False


class _CurrentToken(Auth.Auth):
    """Asks for the token at every request, so that a long job outlives its first token; counts the requests."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
        self.requests = 0

    @property
    def token_type(self) -> str:
        return "Bearer"

    @property
    def token(self) -> str:
        self.requests += 1
        return self._token()


class Door:
    """Calls on one repository, one at a time.

    PyGithub is not safe for threads (its connection keeps verb, path and body between sending and receiving), so
    each door has an object and a lock of its own. PyGithub's retries and its pause of a second after each write are
    off: they would send a POST twice, and never a PATCH.
    """

    def __init__(
        self,
        *,
        api_url: str,
        full_name: str,
        token: Callable[[], str],
        forget: Callable[[], None],
        now: Callable[[], float],
        patience: Patience,
        timeout_s: float,
    ) -> None:
        self._auth = _CurrentToken(token)
        self._forget = forget
        self._now = now
        self._patience = patience
        self._lock = threading.Lock()
        github = Github(
            base_url=api_url,
            auth=self._auth,
            timeout=int(timeout_s),
            per_page=100,
            user_agent=USER_AGENT,
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,  # naming an issue or a deployment costs no request
            api_version=API_VERSION,
        )
        self._github = github
        self.api_url = api_url
        self._timeout_s = timeout_s
        self._repository = github.get_repo(full_name)

    @property
    def requests(self) -> int:
        """HTTP requests sent so far."""
        return self._auth.requests

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            self._github.close()

    def once(self, doing: str, needs: Access, call: Call[T]) -> T:
        """Make a call. Only a refused token makes it go out a second time.

        Raises:
            BotError: see `bot.github.errors`; `Transient` leaves open whether a POST had its effect.
        """
        try:
            return self._attempt(doing, needs, call)
        except Unauthentic:
            self._forget()
            return self._attempt(doing, needs, call)

    def again(self, doing: str, needs: Access, call: Call[T]) -> T:
        """Make a call that does no harm when it is made twice, with backoff as long as our patience lasts."""
        for attempt in stamina.retry_context(on=self._patience.worth_another_try, **self._patience.waits):
            with attempt:
                return self.once(doing, needs, call)
        raise Transient(doing)  # not reached: the last attempt raises

    def download(self, doing: str, needs: Access, path: str, limit_bytes: int) -> bytes:
        """A file that GitHub serves from another address, to which our token does not go.

        Args:
            doing: as for the other calls.
            needs: as for the other calls.
            path: of the API; its answer is the redirect.
            limit_bytes: what is read at most.

        Raises:
            UserError: it is larger.
        """

        def fetch(_repo: GhRepository) -> bytes:
            ours = {"Authorization": f"Bearer {self._auth.token}", "X-GitHub-Api-Version": API_VERSION}
            with httpx.Client(timeout=self._timeout_s, headers={"User-Agent": USER_AGENT}) as http:
                asked = http.get(self.api_url + path, headers=ours)
                if not asked.has_redirect_location:
                    asked.raise_for_status()
                    raise Permanent(f"{doing}: GitHub answered {asked.status_code} instead of an address")
                return _content(http, doing, asked.headers["location"], limit_bytes)

        return self.again(doing, needs, fetch)

    def open_download(self, doing: str, url: str, limit_bytes: int) -> bytes:
        """A file behind an address that needs no token of ours. No redirect is followed.

        Raises:
            UserError: it is larger than `limit_bytes`.
        """

        def fetch(_repo: GhRepository) -> bytes:
            with httpx.Client(timeout=_OPEN_TIMEOUT_S, headers={"User-Agent": USER_AGENT}) as http:
                return _content(http, doing, url, limit_bytes)

        return self.again(doing, Access.METADATA, fetch)

    def post(self, doing: str, needs: Access, call: Call[T]) -> T:
        """Make a call that must not be made twice; repeated only if GitHub refused it before doing anything."""
        for attempt in stamina.retry_context(on=self._patience.surely_refused, **self._patience.waits):
            with attempt:
                return self.once(doing, needs, call)
        raise Transient(doing)  # not reached: the last attempt raises

    def ensure(self, doing: str, needs: Access, look: Call[T | None], make: Call[T]) -> T:
        """Find a thing or make it, exactly once: after every unclear answer it is looked for before it is made again.

        A `Conflict` while making is answered by one more look too, because somebody else may have been quicker (or an
        earlier process of ours).
        """
        for attempt in stamina.retry_context(on=self._patience.worth_another_try, **self._patience.waits):
            with attempt:
                found = self.once(doing, needs, look)
                return self._make(doing, needs, look, make) if found is None else found
        raise Transient(doing)  # not reached: the last attempt raises

    def _make(self, doing: str, needs: Access, look: Call[T | None], make: Call[T]) -> T:
        try:
            return self.once(doing, needs, make)
        except Conflict:
            found = self.once(doing, needs, look)
            if found is None:
                raise
            return found

    def _attempt(self, doing: str, needs: Access, call: Call[T]) -> T:
        with self._lock, translated(doing, needs, self._now()):
            return call(self._repository)


def json_call(
    repo: GhRepository, verb: str, path: str, body: Mapping[str, Any] | None = None, *, accept: str = ""
) -> Any:
    """A call for which PyGithub has no method, or none that does without reading the thing first.

    `accept` asks for another form of the answer than GitHub's usual one.
    """
    headers = {"Accept": accept} if accept else None
    return repo.requester.requestJsonAndCheck(verb, path, input=body, headers=headers)[1]


def _content(http: httpx.Client, doing: str, url: str, limit_bytes: int) -> bytes:
    content = bytearray()
    with http.stream("GET", url) as answer:
        if not answer.is_success:
            answer.read()
        answer.raise_for_status()
        for chunk in answer.iter_raw():
            content += chunk
            if len(content) > limit_bytes:
                raise UserError(f"{doing}: more than {limit_bytes:,} bytes, which is too much")
    return bytes(content)
