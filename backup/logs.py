"""Events on stderr: readable text, or one JSON object a line. Secrets never pass.

Owns the look of events and what is masked in everything that pgproof prints. Nothing heavy is imported before
`setup` is called or the first event is told.

    from backup.logs import log

    log.info("backup stored", id=str(backup_id), bytes=stored)
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

if TYPE_CHECKING:
    import logging

    from stamina.instrumentation import RetryDetails
    from structlog.typing import Processor

Format = Literal["text", "json"]

MASK = "********"
_LIBRARIES = ("urllib3", "minio", "stamina", "asyncio", "psycopg", "httpx", "httpcore", "kubernetes")
_WORDLIKE = re.compile(r"[\w.-]{1,7}|(?:[^\W\d]|[.-]){1,15}")
"""A secret that may as well be the name of a table or a word of a message. To mask it there would spoil what is to be
copied, and tell the secret by what is masked. The lengths are guesses, in characters."""

_KEY = r"(?P<key>(?i:pass(?:word|wd|phrase)?|secret\w*|token)['\"]?(?:\s*[:=]\s*['\"]?|\s+'))"
"""What stands before a value that is a password, whatever it looks like."""

_PATTERNS = (
    (re.compile(r"(://[^\s/:@'\"]*:)[^\s/'\"]+(?=@)"), rf"\g<1>{MASK}"),
    (
        re.compile(
            r"(?i)\b((?:ssl|pg)?_?(?:password|passwd|secret[_-]?key|session[_-]?token)\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\",;)]+)"
        ),
        rf"\g<1>{MASK}",
    ),
    (re.compile(r"((?:X-Amz-(?:Signature|Credential|Security-Token)|WebIdentityToken)=)[^\s&'\"]+"), rf"\g<1>{MASK}"),
)


class _Redactor:
    """Masks what is secret: the values it was told of, and what has the shape of a password in an address."""

    def __init__(self) -> None:
        self._firm: set[str] = set()
        self._words: set[str] = set()
        self._known: list[tuple[re.Pattern[str], str]] = []

    def learn(self, secrets: Iterable[str]) -> None:
        for secret in filter(None, secrets):
            kind = self._words if _WORDLIKE.fullmatch(secret) else self._firm
            kind |= {secret, quote(secret, safe=""), repr(secret)[1:-1]}
        self._known = []
        if self._firm:
            self._known.append((re.compile(_any_of(self._firm)), MASK))
        if self._words:
            words = _any_of(self._words)
            self._known.append((re.compile(rf"{_KEY}(?:{words})(?!\w)"), rf"\g<key>{MASK}"))
            self._known.append((re.compile(rf":(?:{words})(?=@)"), f":{MASK}"))

    def forget(self) -> None:
        self._firm.clear()
        self._words.clear()
        self._known = []

    def redact(self, text: str) -> str:
        for pattern, masked in (*self._known, *_PATTERNS):
            text = pattern.sub(masked, text)
        return text


def _any_of(secrets: Iterable[str]) -> str:
    """A pattern of them, the longest first."""
    return "|".join(map(re.escape, sorted(secrets, key=len, reverse=True)))


_redactor = _Redactor()


def redact(text: str) -> str:
    """`text` without any secret: for everything that is printed."""
    return _redactor.redact(text)


def hide(secrets: Iterable[str]) -> None:
    """Mask these values from now on, in events and wherever `redact` is used.

    One that looks like a word is masked only where it stands as a password: in an address, or after such a key.
    """
    _redactor.learn(secrets)


def forget() -> None:
    """Mask no value any more that `hide` was told of; for processes that outlive a run."""
    _redactor.forget()


def setup(
    *,
    format: Format = "text",  # noqa: A002 -- the setting's name
    verbose: bool = False,
    quiet: bool = False,
    secrets: Iterable[str] = (),
) -> None:
    """Say how events look and what they must not show. A later call replaces the look and adds to the secrets.

    Args:
        format: text for people, json for machines.
        verbose: tell debug events too, and the warnings of libraries: their steps name what nobody asked for.
        quiet: where not verbose, tell nothing but warnings and errors.
        secrets: values to mask.
    """
    import logging  # noqa: PLC0415 -- nothing heavy before the first event

    import structlog  # noqa: PLC0415 -- the same

    hide(secrets)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            _masked,
            _render_json() if format == "json" else _render_text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
        ),
        logger_factory=_Stderr,
        cache_logger_on_first_use=False,
    )
    log.configured = True
    _follow_libraries(logging.WARNING if verbose else logging.CRITICAL)


_COLOUR = re.compile(r"\x1b\[\d*m")
_recent: deque[str] = deque(maxlen=200)


def recent(count: int) -> tuple[str, ...]:
    """The last events as they were printed, without colours; 200 at most."""
    return tuple(_recent)[-count:]


class _Stderr:
    """Writes lines to whatever stderr is at that time: a progress bar may stand in for it."""

    def __init__(self, *_args: object) -> None:
        pass

    def msg(self, message: str) -> None:
        _recent.append(_COLOUR.sub("", message))
        print(message, file=sys.stderr, flush=True)  # noqa: T201 -- this is the one place that prints events

    debug = info = warning = error = critical = msg


def _masked(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Every value without secrets, and made of nothing but text, numbers, lists and maps."""
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return redact(str(value))


def _render_json() -> Processor:
    import structlog  # noqa: PLC0415 -- loaded by now

    return structlog.processors.JSONRenderer(ensure_ascii=False)


_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}


def _render_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """One line: time, level, event, key=value; then the traceback, if there is one."""
    coloured = sys.stderr.isatty()
    fields = dict(event)
    time, level, name = fields.pop("time", ""), str(fields.pop("level", "info")), fields.pop("event", "")
    trace = fields.pop("exception", None)
    pieces = [str(time)[:19] + "Z", _paint(f"{level:<7}", _COLOURS.get(level, "0"), wanted=coloured)]
    pieces.append(_one_line(str(name)))
    said = {key: _quoted(value) for key, value in fields.items() if value is not None}
    pieces += [f"{_paint(key, '36', wanted=coloured)}={value}" for key, value in said.items()]
    return " ".join(pieces) + (f"\n{trace}" if trace else "")


def _paint(text: str, colour: str, *, wanted: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if wanted else text


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _quoted(value: object) -> str:
    text = _one_line(str(value))
    return f'"{text}"' if " " in text or not text else text


class _Log:
    """Tells events. Until `setup` was called they are text."""

    def __init__(self) -> None:
        self.configured = False

    def debug(self, event: str, **fields: object) -> None:
        """A step that is of interest with -v only."""
        self._tell("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Something that happened as it should."""
        self._tell("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something that a person should look at; the work goes on."""
        self._tell("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something that failed and does not end the run."""
        self._tell("error", event, fields)

    def _tell(self, level: str, event: str, fields: dict[str, object]) -> None:
        import structlog  # noqa: PLC0415 -- nothing heavy before the first event

        if not self.configured:
            setup()
        structlog.get_logger().log(_NUMBERS[level], event, **fields)


_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
log = _Log()
"""Tell events here."""


def tell_retry(details: RetryDetails) -> None:
    """In place of stamina's own event, which describes our code instead of what went wrong."""
    tell = log.debug if getattr(details.caused_by, "told_at_the_end", False) else log.warning
    tell("trying again", reason=str(details.caused_by), wait=round(details.wait_for, 1))


def _follow_libraries(level: int) -> None:
    """Let what libraries tell through the standard logging appear as events, from `level` on."""
    import logging  # noqa: PLC0415 -- as above

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _forward(record)

    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if type(each).__name__ != "Forward"]
    root.addHandler(Forward())
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(level)


def _forward(record: logging.LogRecord) -> None:
    import structlog  # noqa: PLC0415 -- as above

    fields: dict[str, object] = {"library": record.name}
    if record.exc_info:
        fields["exc_info"] = record.exc_info
    structlog.get_logger().log(max(record.levelno, 10), record.getMessage(), **fields)
