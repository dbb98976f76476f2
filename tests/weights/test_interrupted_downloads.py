"""Downloads by two processes at once, by one that is killed, onto a full disk, and after all that."""

import concurrent.futures
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

import ghostnet_tf
from ghostnet_tf.weights import fetch

TAG = "ghostnet_100.in1k"
CONTENT = hashlib.shake_256(b"weights").digest(400_000)
SIZE, HALF, SHA256 = len(CONTENT), len(CONTENT) // 2, hashlib.sha256(CONTENT).hexdigest()
WHOLE = {SHA256: SIZE, "model.safetensors": SIZE}  # what is in the cache in the end
LONG = 100  # seconds for a process to start on a busy machine
# A process of its own that fetches. It leaves out what `ghostnet_tf.weights` imports, which would take 6 s.
FETCH = f"""
import sys, types
GHOSTNET_TF_COMMAND = True
sys.modules["ghostnet_tf.weights"] = package = types.ModuleType("ghostnet_tf.weights")
package.__path__ = [{str(Path(ghostnet_tf.__file__).parent / "weights")!r}]
from ghostnet_tf.weights.hub import fetch
print(fetch({TAG!r}, {LONG}))
"""


@pytest.fixture
def hub(hub):
    hub.serve(CONTENT)
    return hub


@pytest.fixture
def blobs():
    """The cache's folder of contents, before anything is in it."""
    folder = Path(constants.HF_HUB_CACHE) / f"models--timm--{TAG}" / "blobs"
    folder.mkdir(parents=True)
    return folder


def fetching(hub) -> subprocess.Popen:
    """Another process that fetches from `hub`."""
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": constants.HF_HUB_CACHE}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    pipe, root = subprocess.PIPE, Path(ghostnet_tf.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH], stdout=pipe, stderr=pipe, text=True, env=environment, cwd=root
    )


def test_two_processes_at_once(hub):
    asked, both_asked = threading.Semaphore(0), []

    def head(request):
        asked.release()
        hub.answer(request)

    def get(request):  # not before both are under way
        both_asked.extend(asked.acquire(timeout=LONG) for _ in range(2))
        hub.answer(request)

    hub.instead = {"HEAD": head, "GET": get}
    processes = [fetching(hub) for _ in range(2)]
    outputs = [process.communicate(timeout=2 * LONG) for process in processes]
    assert both_asked == [True, True]
    assert [process.returncode for process in processes] == [0, 0], outputs
    first, second = (Path(output.strip()) for output, _ in outputs)
    assert first == second and first.read_bytes() == CONTENT
    assert hub.ranges == [None]  # one of them downloaded it
    assert hub.cached() == WHOLE


def test_kill_9_in_the_middle_and_again(hub):
    sent = threading.Event()

    def stall():
        sent.set()
        hub.stalls()

    hub.instead["GET"] = hub.breaks_off(0, HALF, stall)
    process = fetching(hub)
    assert sent.wait(LONG), process.communicate()
    deadline = time.monotonic() + LONG
    while hub.cached().get(hub.partial, 0) < HALF // 2 and time.monotonic() < deadline:
        hub.closing.wait(0.01)  # until it has read what was sent
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    ((name, size),) = hub.cached().items()
    assert name == hub.partial and HALF // 2 <= size <= HALF
    del hub.instead["GET"]
    assert fetch(TAG).read_bytes() == CONTENT
    assert hub.ranges == [None, f"bytes={size}-"]
    assert hub.cached() == WHOLE


@pytest.mark.parametrize(
    "there, ranges",
    [
        (CONTENT[:HALF][::-1], [f"bytes={HALF}-", None]),
        (CONTENT[::-1], [None]),
        (CONTENT + b"more", [None]),
        (CONTENT, []),
    ],
)
def test_a_part_that_was_there_is_used_if_it_is_right(hub, blobs, there, ranges):
    (blobs / hub.partial).write_bytes(there)
    assert fetch(TAG).read_bytes() == CONTENT
    assert hub.ranges == ranges
    assert hub.cached() == WHOLE


def test_whatever_is_missing_in_the_cache_is_mended(hub):
    path = fetch(TAG)
    folder, blob = path.parents[2], path.resolve()
    hub.ranges.clear()
    path.unlink()  # a kill before the content got its link
    assert fetch(TAG) == path
    (folder / "refs" / "main").write_text("")  # and before the branch got its commit
    assert fetch(TAG) == path
    assert hub.ranges == []
    path.unlink()
    blob.write_bytes(CONTENT[::-1])
    assert fetch(TAG).read_bytes() == CONTENT
    blob.unlink()
    assert fetch(TAG).read_bytes() == CONTENT
    assert hub.ranges == [None, None]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full of Linux, a file on a full disk")
def test_a_full_disk(hub, blobs, refused):
    (blobs / hub.partial).symlink_to("/dev/full")
    refused("cannot be kept in .*No space left on device.*HF_HUB_CACHE")
    assert hub.cached() == {}
    assert fetch(TAG).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written(hub, tmp_path, refused, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    refused("cannot be kept in .*HF_HUB_CACHE")


def test_another_process_that_does_not_end(hub, refused):
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / f"models--timm--{TAG}" / f"{SHA256}.lock"
    lock.parent.mkdir(parents=True)
    held = WeakFileLock(lock)
    hub.serve(b"few", SHA256)  # which may take as many ten-thousandths of a second
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        other.submit(held.__enter__).result()
        refused("cannot be kept in .*lock")
        other.submit(held.__exit__, None, None, None).result()
    assert hub.ranges == []
