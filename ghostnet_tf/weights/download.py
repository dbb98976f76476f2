"""Downloads a published file into the cache of huggingface_hub: over its connection, in its layout, under its lock.

Its own download is not used. Where a server stalls that tries for minutes, after a kill it begins again, it follows
redirects from https to http, and it keeps content with the wrong checksum.
"""

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from huggingface_hub import constants, errors, hf_hub_url
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers, get_session, hf_raise_for_status, tqdm

from ghostnet_tf.untrusted import sha256_of

if TYPE_CHECKING:
    from huggingface_hub.errors import Response

RATE = 10_000  # bytes a second that a download must reach on average
TRIES = 4  # connections that one download may take, each getting further than the one before
REDIRECTS = 10
COMMIT, SHA256, SIZE = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}"), re.compile("[1-9][0-9]{0,11}")


class Stated(NamedTuple):
    """What the hub states of a file: the commit that has it, its SHA-256 in hexadecimal, its bytes."""

    commit: str
    sha256: str
    size: int


def stated_by_hub(url: str, timeout: float) -> Stated:
    """What the hub states of the file at `url`.

    Raises:
        ConnectionError: If the answer is not one of the hub.
        huggingface_hub.errors.HTTPError: If there is none within `timeout` seconds, or it is a refusal.
    """
    with _answer("HEAD", url, {}, timeout) as response:
        hf_raise_for_status(response)
        commit = response.headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT, "none")
        # Of the file itself, where the hub is about to redirect to it.
        etag = response.headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_ETAG) or response.headers.get("ETag", "none")
        length = "none" if response.is_redirect else response.headers.get("Content-Length", "none")
        size = response.headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_SIZE) or length
    sha256 = etag.removeprefix("W/").strip('"')
    if not (COMMIT.fullmatch(commit) and SHA256.fullmatch(sha256) and SIZE.fullmatch(size)):
        raise ConnectionError(
            f"expected the hub to state commit, sha256 and size, received {commit}, {sha256} and {size}, as from the "
            "log-in page of a network"
        )
    return Stated(commit, sha256, int(size))


def into_cache(repository: str, file: str, revision: str, stated: Stated, timeout: float) -> Path:
    """The file in the cache, downloaded if need be.

    It takes its name when its SHA-256 is the stated one. What is there before, `SHA256.ghostnet-tf.incomplete`, is
    gone on with by the next call, and by no other process meanwhile.

    Args:
        repository, file, revision: As the hub names them.
        stated: See `stated_by_hub`.
        timeout: Seconds to wait for each connection and for each next byte.

    Raises:
        ConnectionError: If the server sends something else, redirects from https to http, or is slower than `RATE`.
        huggingface_hub.errors.HTTPError: If it refuses, stalls or breaks off.
        OSError: If the cache cannot be written; after a full disk, what was there of the file is removed.
    """
    folder = repo_folder_name(repo_id=repository, repo_type="model")
    cache = Path(constants.HF_HUB_CACHE)
    blob = cache / folder / "blobs" / stated.sha256
    lock = cache / ".locks" / folder / f"{stated.sha256}.lock"
    path = cache / folder / "snapshots" / stated.commit / file
    ref = cache / folder / "refs" / revision
    for place in (blob, lock, path, ref):
        place.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock, timeout=timeout + stated.size / RATE):
        if not blob.exists() or sha256_of(blob) != stated.sha256:
            _download(hf_hub_url(repository, file, revision=stated.commit), blob, stated, timeout)
        if not path.exists():
            path.unlink(missing_ok=True)  # a link to what somebody removed
            try:
                path.symlink_to(os.path.relpath(blob, path.parent))
            except OSError:  # Windows lets only some users make links
                blob.replace(path)
        if revision != stated.commit:
            ref.write_text(stated.commit)
    return path


def _download(url: str, blob: Path, stated: Stated, timeout: float) -> None:
    partial = blob.with_name(f"{stated.sha256}.ghostnet-tf.incomplete")
    resumed = partial.exists()
    try:
        with partial.open("ab") as file:
            _complete(file, url, stated.size, timeout)
    except (errors.HTTPError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if partial.exists() and (full or not partial.stat().st_size):
            partial.unlink()
        raise
    received = sha256_of(partial)
    if received == stated.sha256:
        partial.replace(blob)
        return
    partial.unlink()
    if not resumed:
        raise ConnectionError(f"expected sha256 {stated.sha256}, received {received}; nothing of it was kept")
    _download(url, blob, stated, timeout)  # what was there may have been the wrong part


def _complete(file: BinaryIO, url: str, size: int, timeout: float) -> None:
    """Appends what `file` lacks of the `size` bytes at `url`."""
    for left in reversed(range(TRIES)):
        before = file.tell()
        try:
            return _append(file, url, size, timeout)
        except errors.HTTPError:
            if not left or file.tell() <= before:
                raise


def _append(file: BinaryIO, url: str, size: int, timeout: float) -> None:
    begun, start = time.monotonic(), file.tell()
    if start >= size:  # the checksum will tell
        return
    headers = {"Range": f"bytes={start}-"} if start else {}
    with _answer("GET", url, headers, timeout) as response:
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if start and not continues and response.status_code == 200:  # the server sends all of it
            file.seek(0)
            file.truncate()
        response.raise_for_status()
        _check_answer(response, size - file.tell())
        received = 0
        with tqdm(
            desc="weights", total=size, initial=file.tell(), unit="B", unit_scale=True, delay=2, disable=None
        ) as bar:
            for chunk in response.iter_raw():
                received += len(chunk)
                if file.tell() + len(chunk) > size:
                    raise ConnectionError(f"expected {size} bytes, received more")
                file.write(chunk)
                bar.update(len(chunk))
                seconds = time.monotonic() - begun
                if seconds > timeout + received / RATE:
                    raise ConnectionError(
                        f"expected {RATE / 1000:g} kB/s, received {received} bytes in {seconds:.0f} s"
                    )
    if file.tell() < size:
        raise ConnectionError(f"expected {size} bytes, received {file.tell()}")


def _check_answer(response: "Response", missing: int) -> None:
    """Whether an answer is about to send the `missing` bytes; before anything of it is written."""
    kind = response.headers.get("Content-Type", "")
    if kind.startswith("text/html"):
        raise ConnectionError(f"expected a file, received a page ({kind}), as a network sends to log in")
    length = int(response.headers.get("Content-Length", missing))
    if length != missing:
        raise ConnectionError(f"expected {missing} bytes, received Content-Length {length}")


@contextmanager
def _answer(method: str, url: str, headers: dict[str, str], timeout: float) -> Iterator["Response"]:
    """The answer after redirects, none of which may leave https; to HEAD, the first one with what the hub states."""
    session = get_session()
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | headers
    request = session.build_request(method, url, headers=headers, timeout=timeout)
    for _ in range(REDIRECTS + 1):
        response = session.send(request, stream=True, follow_redirects=False)
        try:
            following = response.next_request
            states = method == "HEAD" and constants.HUGGINGFACE_HEADER_X_LINKED_ETAG in response.headers
            if following is None or states:
                yield response
                return
        finally:
            response.close()
        if request.url.scheme == "https" and following.url.scheme != "https":
            raise ConnectionError(
                f"expected https, received a redirect to {following.url.scheme}://{following.url.host}"
            )
        request = following
    raise ConnectionError(f"expected at most {REDIRECTS} redirects, received another, to {request.url.host}")
