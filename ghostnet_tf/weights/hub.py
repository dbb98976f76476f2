"""Published weights from the Hugging Face hub: cached, verified."""

import os
from pathlib import Path

from ghostnet_tf.untrusted import first_line, sha256_of
from ghostnet_tf.weights.registry import named


class WeightsUnavailable(RuntimeError):
    """Weights cannot be had from where they are.

    Published ones are not cached and the hub does not answer, or the file is not what it states; or the package that
    reads a file is not installed.
    """


def fetch(tag: str, timeout: float | None = None) -> Path:
    """The local file of published weights, from huggingface_hub's cache or downloaded into it.

    A cached file is taken without asking the hub. The file's SHA-256 must be the one that the hub states for it, or
    stated when it was downloaded; what has another is not kept. A download that broke off, even by kill -9, is gone on
    with, and several processes may ask for the same file at once.

    `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_ENDPOINT` and `HTTPS_PROXY` are respected. The folder of the file
    is named by the commit that it is of.

    Args:
        tag: A key of `list_weights()`, with `@` and a commit, branch or tag of the hub's repository for another
            revision than the listed one: `ghostnet_100.in1k@COMMIT` stays the same whatever the hub gets later.
        timeout: Seconds to wait for each connection, answer and next byte: a server that stalls is given up after at
            most five times that. `HF_HUB_DOWNLOAD_TIMEOUT`, or 10, by default. A download on average slower than
            10 kB/s is given up as well.

    Raises:
        WeightsUnavailable: Without network or permission to use it (and no cached file), when the hub refuses, does
            not send what it states or redirects to http, or when the cache cannot be written.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import: what runs here is nobody's business
    # Here and not above: the import takes 0.3 s, and most uses of the package need no download.
    from huggingface_hub import constants, errors, hf_hub_download, hf_hub_url

    from ghostnet_tf.weights import download

    row, revision = named(tag)
    where = {"repo_id": row.repository, "filename": row.file, "revision": revision}
    timeout = timeout or constants.HF_HUB_DOWNLOAD_TIMEOUT
    # The hub's client raises its HTTP library's errors, of which `errors.HTTPError` is the base, and OSErrors.
    try:
        try:
            path = Path(hf_hub_download(**where, local_files_only=True))
            expected = _stated_by_cache(path)
        except errors.LocalEntryNotFoundError:
            path, expected = None, None
        if expected is None:
            stated = download.stated_by_hub(hf_hub_url(**where), timeout)
            path = path or download.into_cache(row.repository, row.file, revision, stated, timeout)
            expected = stated.sha256
        received = sha256_of(path)
    except (errors.HTTPError, ConnectionError) as error:
        raise WeightsUnavailable(
            f"the weights {tag} are not in the cache and {row.repository} on the hub could not be read "
            f"({type(error).__name__}: {first_line(error)}). Connect to the network, set HF_ENDPOINT to a "
            f"mirror, or give the path of a downloaded {row.file} as weights."
        ) from error
    except OSError as error:
        raise WeightsUnavailable(
            f"the weights {tag} cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror or first_line(error)}). "
            f"Mend that, set HF_HUB_CACHE to another folder, or give the path of a downloaded {row.file} as weights."
        ) from error
    if received != expected:
        raise WeightsUnavailable(
            f"{path} is not the file that the hub states: expected sha256 {expected}. Received: {received}. "
            "Remove it from the cache and try again."
        )
    return path


def _stated_by_cache(path: Path) -> str | None:
    """The checksum that the hub stated when the file was downloaded: the cache names the content by it."""
    return path.readlink().name if path.is_symlink() else None
