"""Published weights from the Hugging Face hub: cached, verified."""

import hashlib
import re
from pathlib import Path

from ghostnet_tf.weights.registry import named

SHA256 = re.compile(r"[0-9a-f]{64}")


class WeightsUnavailable(RuntimeError):
    """Weights cannot be had from where they are.

    Published ones are not cached and the hub does not answer, or the file is not what it states; or the package that
    reads a file is not installed.
    """


def fetch(tag: str, timeout: float = 10.0) -> Path:
    """The local file of published weights, from huggingface_hub's cache or downloaded into it.

    A cached file is taken without asking the hub. The file's SHA-256 must be the one that the hub states for it.
    `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_ENDPOINT` are respected. The folder of the file is named by
    the commit that it is of.

    Args:
        tag: A key of `list_weights()`, with `@` and a commit, branch or tag of the hub's repository for another
            revision than the listed one: `ghostnet_100.in1k@COMMIT` stays the same whatever the hub gets later.
        timeout: Seconds to wait for the hub's first answer; the download itself may take longer.

    Raises:
        WeightsUnavailable: Without network or permission to use it (and no cached file), when the hub refuses, or
            when the checksum is wrong.
    """
    # Here and not above: the import takes 0.3 s, and most uses of the package need no download.
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url

    row, revision = named(tag)
    where = {"repo_id": row.repository, "filename": row.file, "revision": revision}
    # The hub's client raises its HTTP library's errors, of which `errors.HTTPError` is the base, and OSErrors.
    try:
        try:
            path = Path(hf_hub_download(**where, local_files_only=True))
            stated = _stated_by_cache(path)
        except errors.LocalEntryNotFoundError:
            path, stated = None, None
        if stated is None:
            # Asked once before the download, which would retry for half a minute where there is no network.
            stated = get_hf_file_metadata(hf_hub_url(**where), timeout=timeout).etag
            path = path or Path(hf_hub_download(**where, etag_timeout=timeout))
    except (errors.HTTPError, OSError) as error:
        raise WeightsUnavailable(
            f"the weights {tag} are not in the cache and {row.repository} on the hub could not be read "
            f"({type(error).__name__}: {str(error).splitlines()[0]}). Connect to the network, set HF_ENDPOINT to a "
            f"mirror, or give the path of a downloaded {row.file} as weights."
        ) from error
    _verify(path, stated)
    return path


def _stated_by_cache(path: Path) -> str | None:
    """The checksum that the hub stated when the file was downloaded: the cache names the content by it."""
    return path.readlink().name if path.is_symlink() else None


def _verify(path: Path, stated: str | None) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if stated is None or not SHA256.fullmatch(stated) or actual != stated:
        raise WeightsUnavailable(
            f"{path} is not the file that the hub states: expected sha256 {stated}. Received: {actual}. "
            "Remove it from the cache and try again."
        )
