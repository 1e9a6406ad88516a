"""Logging: one event name per fact, as JSON lines for programs or coloured lines for people.

Decides the shape of a line (time, level, event, bound context, fields) and how often one warning may repeat. Refuses
to know what is logged. Machines in `protocol/` do not log; the shell does, in the words of what has happened.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from pydantic import SecretBytes, SecretStr
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
HIDDEN: Final = "[hidden]"
SECRET_WORDS: Final = ("secret", "password", "token", "authorization", "cookie", "mesh_key", "private_key", "api_key")
VALUE_CHARS_MAX: Final = 4_000
REPEAT_KEYS_MAX: Final = 1_024


def configure(*, form: Literal["json", "console"], level: str, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's root logger to write lines to `stream` (default: stderr).

    `level` is one of `LEVELS`. Calling it again replaces the earlier set-up.
    """
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, _renderer(form, out)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,  # a second daemon in one process, or a test, configures anew
    )
    _route_standard_logging(shared, _renderer(form, out), level, out)


def _renderer(form: Literal["json", "console"], out: TextIO) -> Processor:
    if form == "console":
        return structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="time", sort_keys=False)
    return _one_json_line


def _one_json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    return json.dumps({**first, **event}, default=str, separators=(",", ":"))


def _route_standard_logging(shared: list[Processor], renderer: Processor, level: str, out: TextIO) -> None:
    """Lines of libraries (aiohttp, asyncio, zeroconf) take the same shape; below a warning they are noise."""
    handler = logging.StreamHandler(out)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[meta, renderer], foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared]
        )
    )
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level] if level == "debug" else max(LEVELS[level], logging.WARNING))


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank what is named like a secret or wrapped as one, and cut what is too long for a line."""
    return {key: _shown(key, value) for key, value in event.items()}


def _shown(key: str, value: object) -> object:
    if isinstance(value, SecretStr | SecretBytes) or any(word in key.lower() for word in SECRET_WORDS):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(inner): _shown(str(inner), held) for inner, held in value.items()}
    if isinstance(value, str) and len(value) > VALUE_CHARS_MAX and key != "exception":
        return value[:VALUE_CHARS_MAX] + f"... ({len(value)} characters)"
    return value


def get_logger(**context: Any) -> FilteringBoundLogger:
    """A logger with `context` (peer, job, frame, batch) on every line."""
    logger: FilteringBoundLogger = structlog.get_logger(**context)
    return logger


class RepeatedWarnings:
    """Warnings that may come thousands of times a second, at most one per key and interval.

    Invariant: the next line that does appear carries how many were left out (`repeated`); at most `REPEAT_KEYS_MAX`
    keys are remembered, the longest unused is forgotten first. `clock` is monotonic seconds.
    """

    def __init__(self, logger: FilteringBoundLogger, *, clock: Callable[[], float], interval_s: float = 10.0) -> None:
        self._logger = logger
        self._clock = clock
        self._interval_s = interval_s
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def warn(self, event: str, *, key: str = "", **fields: Any) -> bool:
        """Log `event` unless the same event and key appeared within the interval; whether a line appeared."""
        name = f"{event} {key}"
        now = self._clock()
        last, left_out = self._seen.get(name, (None, 0))
        shown = last is None or now - last >= self._interval_s
        self._seen[name] = (now, 0) if shown or last is None else (last, left_out + 1)
        self._seen.move_to_end(name)
        if len(self._seen) > REPEAT_KEYS_MAX:
            self._seen.popitem(last=False)
        if shown:
            more = {"repeated": left_out} if left_out else {}
            self._logger.warning(event, **fields, **more)
        return shown
