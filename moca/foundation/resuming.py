"""One file over HTTP, going on where an earlier try or an earlier run stopped: the rest is asked for by its range."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from moca.core.progress import Progress, silent
from moca.errors import InputError

BLOCK = 1 << 16  # bytes that a broken connection can cost
CONNECT_S = 10.0  # most seconds to wait for one address of a server to take a connection


@dataclass(frozen=True, kw_only=True)
class ResumingDownloader:
    """Downloads one file, going on where an earlier call stopped, also in another process."""

    size: int
    """Bytes that the file must have."""
    timeout_s: float = 30.0
    """Silence of the server after which a try is given up."""
    retries: int = 5
    """Tries in a row that may bring nothing new."""
    wait_s: float = 1.0
    """Pause after the first of them, doubled after each."""
    progress: Progress = silent
    """Told bytes done and in all."""

    def __call__(self, url: str, output_file: str | Path) -> None:
        """Fill output_file, which may hold the beginning already; InputError where that cannot be done.

        On an error or an interrupt output_file keeps what has come. A server that cannot be reached at all is given
        up at once.
        """
        part, reached, failures = Path(output_file), False, 0
        if size_of(part) > self.size:
            part.unlink()
        furthest = size_of(part)
        while size_of(part) < self.size:
            reason = "it ended early"
            try:
                with self._ask(url, part) as answer:
                    reached = True
                    self._write(answer, part)
            except requests.RequestException as error:
                reason = _reason(error, self.timeout_s)
                if isinstance(error, requests.ConnectionError) and not reached:
                    raise InputError(self._gave_up(url, part, reason)) from None
            failures = 0 if size_of(part) > furthest else failures + 1
            furthest = max(furthest, size_of(part))
            if failures > self.retries:
                raise InputError(self._gave_up(url, part, reason))
            if failures:
                time.sleep(self.wait_s * 2 ** (failures - 1))

    def _ask(self, url: str, part: Path) -> requests.Response:
        """An answer that brings what part lacks, or the whole file, for which part has been emptied."""
        have = size_of(part)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        answer = requests.get(
            url, headers=headers, stream=True, timeout=(min(self.timeout_s, CONNECT_S), self.timeout_s)
        )
        try:
            if answer.status_code == 416:  # the server's file ends before ours: ours is of another one
                part.unlink(missing_ok=True)
            if answer.status_code in (416, 429) or answer.status_code >= 500:
                answer.raise_for_status()
            if answer.status_code not in (200, 206):
                raise InputError(
                    f"{url} must be a file, got the answer {answer.status_code} {answer.reason}; look for a newer "
                    "version of this package, or place the file by hand."
                )
            start, total = _extent(answer)
            if total not in (None, self.size):
                raise InputError(
                    f"{url} must have {self.size:,} bytes, got {total:,}; look for a newer version of this package."
                )
            if start != have:
                part.unlink(missing_ok=True)
            if start not in (0, have):
                raise requests.exceptions.InvalidHeader(f"{url} sent another part than asked for")
        except BaseException:
            answer.close()
            raise
        return answer

    def _write(self, answer: requests.Response, part: Path) -> None:
        done = size_of(part)
        with part.open("ab") as stream:
            for block in answer.iter_content(BLOCK):
                stream.write(block[: self.size - done])
                done += len(block)
                self.progress("fetching", min(done, self.size), self.size)
                if done > self.size:  # a server that tells no length; the SHA-256 decides
                    return

    def _gave_up(self, url: str, part: Path, reason: str) -> str:
        progress_note = f" ({size_of(part):,} of {self.size:,} bytes are kept)" if size_of(part) else ""
        return f"{url} cannot be fetched: {reason}{progress_note}; check the connection and run the same command again."


def size_of(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def _extent(answer: requests.Response) -> tuple[int, int | None]:
    """First byte that an answer brings, -1 where it does not say, and bytes of the whole file if it says."""
    if answer.status_code == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        return (int(span[1]), None if span[2] == "*" else int(span[2])) if span else (-1, None)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() and "Content-Encoding" not in answer.headers else None


def _reason(error: requests.RequestException, timeout_s: float) -> str:
    if isinstance(error, requests.HTTPError):
        return f"it answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"it is silent for {timeout_s:g} s"
    if isinstance(error, requests.ConnectionError):
        return "it cannot be reached"
    return "the connection broke"
