"""Published weights from a hub: downloaded once, cached, verified, and one error for everything that is missing."""

import keras
import pytest
from huggingface_hub import constants

from ghostnet_tf.weights import WeightsUnavailable, fetch, list_weights, load_weights

TAG = "ghostnet_100.in1k"
COMMIT = "0123456789abcdef" * 2 + "01234567"  # that the hub of these tests states


def test_downloads_once_and_takes_the_cached_file_without_asking(hub):
    hub.serve(b"weights")
    path = fetch(TAG)
    assert path.read_bytes() == b"weights"
    # The file is that of the commit that was stated, even if there is a newer one by now.
    assert hub.requests == [f"HEAD {hub.path}", f"GET {hub.path.replace('/main/', f'/{COMMIT}/')}"]
    hub.requests.clear()
    assert fetch(TAG) == path
    assert hub.requests == []


def test_cached_weights_need_no_network(hub, monkeypatch):
    hub.serve(b"weights")
    path = fetch(TAG)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(TAG) == path


def test_content_that_the_hub_did_not_state_is_refused(hub):
    hub.serve(b"weights", stated="0" * 64)
    with pytest.raises(WeightsUnavailable, match=f"expected sha256 {'0' * 64}"):
        fetch(TAG)
    assert hub.cached() == {}


def test_a_cached_file_that_changed_is_refused(hub):
    hub.serve(b"weights")
    fetch(TAG).resolve().write_bytes(b"Weights")
    with pytest.raises(WeightsUnavailable, match="Remove it from the cache"):
        fetch(TAG)


def test_a_hub_that_states_no_sha256_is_refused(hub):
    hub.serve(b"weights", stated="1234567")
    with pytest.raises(WeightsUnavailable, match=f"sha256 and size, received {COMMIT}, 1234567 and 7"):
        fetch(TAG)
    assert hub.requests == [f"HEAD {hub.path}"]


def test_a_cache_without_links_asks_the_hub_for_the_checksum(hub):
    hub.serve(b"weights")
    path = fetch(TAG)
    path.unlink()
    path.write_bytes(b"Weights")
    with pytest.raises(WeightsUnavailable, match="Remove it from the cache"):
        fetch(TAG)
    path.write_bytes(b"weights")
    assert fetch(TAG) == path


def test_missing_on_the_hub(hub):
    with pytest.raises(WeightsUnavailable, match="RemoteEntryNotFoundError"):
        fetch(TAG)
    assert len(hub.requests) == 1  # no retries


def test_offline_without_a_cached_file(hub, monkeypatch):
    hub.serve(b"weights")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsUnavailable, match=r"give the path of a downloaded model\.safetensors"):
        fetch(TAG)
    assert hub.requests == []


def test_no_hub_at_all(hub, monkeypatch):
    hub.close()
    with pytest.raises(WeightsUnavailable, match=r"ConnectError|ConnectionError"):
        fetch(TAG)


def test_a_revision_is_the_one_that_was_asked_for(hub):
    newest, hub.path = hub.path, hub.path.replace("/main/", f"/{COMMIT}/")
    hub.serve(b"weights")
    path = fetch(f"{TAG}@{COMMIT}")
    assert path.read_bytes() == b"weights" and path.parent.name == COMMIT
    hub.requests.clear()
    assert fetch(f"{TAG}@{COMMIT}") == path
    assert hub.requests == []
    with pytest.raises(WeightsUnavailable, match="RemoteEntryNotFoundError"):
        fetch(TAG)  # another revision, which is not there
    assert hub.requests == [f"HEAD {newest}"]


def test_loading_takes_a_revision_too(hub):
    with pytest.raises(WeightsUnavailable, match=f"the weights {TAG}@{COMMIT} are not in the cache"):
        load_weights(keras.Sequential(name="any"), f"{TAG}@{COMMIT}")
    assert hub.requests == [f"HEAD {hub.path.replace('/main/', f'/{COMMIT}/')}"]


def test_list_weights_names_what_exists():
    assert TAG in list_weights()
    assert all(row.tag == tag and row.repository == f"timm/{tag}" for tag, row in list_weights().items())
