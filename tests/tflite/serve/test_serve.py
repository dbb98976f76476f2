"""The page where one tries a model: real HTTP with a server in this process, a process of its own, a real browser."""

import contextlib
import http.client
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from ghostnet_tf.commands import BAD_INPUT
from ghostnet_tf.tflite import serve
from ghostnet_tf.tflite.answers import Comparison
from ghostnet_tf.tflite.local_page import LIMIT, Server
from ghostnet_tf.training.data import load_data
from ghostnet_tf.training.images import evaluation_image, read_image
from ghostnet_tf.training.predict import load_predictor

ROOT = Path(__file__).resolve().parents[3]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
opened: list[str] | None = None  # files that Python opens to write, while it is a list


def _watch(event: str, arguments: tuple) -> None:
    if opened is not None and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        opened.append(str(arguments[0]))


sys.addaudithook(_watch)


@contextlib.contextmanager
def served(*paths: Path):
    with Server(0, Comparison(paths)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(files):
    with served(files["int8"], files["fp32"]) as running:
        yield running


def ask(server, body: bytes | None = None, method: str = "POST", path: str = "/answers", **headers: str):
    """Status, headers and content of a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    headers = {name.replace("_", "-"): value.format(port=server.server_port) for name, value in headers.items()}
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()


def cut_off() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    return file.getvalue()[:400]


def answers(server, photo: bytes) -> dict:
    status, _, content = ask(server, photo)
    assert status == 200, content
    return json.loads(content)


def test_answers_are_those_of_the_predictor_of_evaluate(server, files, labels, digit, encoded):
    photo = encoded(digit, "JPEG")
    answer = answers(server, photo)
    firsts = []
    for name, found in zip(("int8", "fp32"), answer["files"], strict=True):
        predictor = load_predictor(files[name])
        scores = predictor.predict(evaluation_image(read_image(photo), 32)[None])[0]
        best = np.argsort(-scores, kind="stable")[:5]
        assert found["guesses"] == [{"label": labels[index], "score": float(scores[index])} for index in best]
        assert (found["name"], found["file"], found["bytes"]) == (name, files[name].name, files[name].stat().st_size)
        assert 0 < found["median_ms"] < 1000
        firsts.append(best[0])
    assert firsts == [7, 7]
    assert answer["agree"] is True
    assert answer["verdict"] == "int8 and fp32 agree: 7"
    assert answer["picture"].startswith("data:image/png;base64,")


def test_a_turned_photo_gets_the_answers_of_the_upright_one(server, digit, encoded):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored a quarter turn to the left
    upright, turned = answers(server, encoded(digit)), answers(server, encoded(np.rot90(digit), exif=exif))
    assert [file["guesses"] for file in turned["files"]] == [file["guesses"] for file in upright["files"]]
    assert turned["picture"] == upright["picture"]


def test_photos_at_the_same_time_get_their_own_answers(server, encoded):
    photos = [encoded(image) for image in load_data("digits", size=32).test.images()[:8]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda photo: answers(server, photo), photos))
    alone = [answers(server, photo) for photo in photos]
    assert [row["verdict"] for row in together] == [row["verdict"] for row in alone]
    assert len({row["verdict"] for row in alone}) > 3


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"body": b"not an image"}, 400, "expected a photo. Received: 12 bytes, no BMP, GIF, JPEG, PNG"),
        ({"body": b""}, 400, "expected a photo. Received: 0 bytes"),
        ({"body": cut_off()}, 400, "expected a photo. Received: 400 bytes"),
        ({"Content_Length": str(LIMIT + 1)}, 413, "expected a photo of at most 32 MB. Received: 32.0 MB"),
        ({"Content_Length": "9" * 5000}, 400, "expected a Content-Length"),
        ({"Content_Length": "-1"}, 400, "expected a Content-Length"),
        ({"Transfer_Encoding": "chunked"}, 411, "in one piece"),
        ({"Host": "evil.example:{port}"}, 403, "expected the page to be opened as http://127.0.0.1"),
        ({"Host": "127.0.0.1"}, 403, "expected the page to be opened as"),
        ({"method": "GET", "path": "/", "Host": "evil.example"}, 403, "expected the page to be opened as"),
        ({"Origin": "http://evil.example"}, 403, "from the page itself"),
        ({"Origin": "http://127.0.0.1:1"}, 403, "from the page itself"),
        ({"Origin": "null"}, 403, "from the page itself"),
        ({"path": "/"}, 404, "expected POST /answers"),
        ({"method": "GET"}, 404, "expected GET /. Received: /answers"),
        ({"method": "GET", "path": "/../serve.py"}, 404, "expected GET /. Received: /../serve.py"),
        ({"method": "DELETE"}, 501, "DELETE"),
    ],
)
def test_what_is_refused_says_so_in_json(server, request_, status, message):
    received, headers, content = ask(server, **request_)
    assert received == status
    assert headers["Content-Type"] == "application/json"
    (said,) = json.loads(content).values()
    assert message in said and "\n" not in said


def test_the_page_asks_from_its_own_origin(server, digit, encoded):
    for host in ("127.0.0.1:{port}", "localhost:{port}"):
        assert ask(server, encoded(digit), Host=host, Origin=f"http://{host}")[0] == 200


def test_the_page_needs_nothing_from_elsewhere(server):
    status, headers, content = ask(server, method="GET", path="/")
    assert status == 200
    page = content.decode()
    assert not re.search(r"https?:|@import|url\(", page)
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"].count("sha256-") == page.count("<script>") == 1
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"]


def test_no_photo_is_written(server, digit, encoded, tmp_path, monkeypatch):
    global opened
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it reads from a file"))
    sent = [encoded(digit, kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")]
    sent.append(encoded(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)))
    opened = []
    try:
        assert [ask(server, photo)[0] for photo in [*sent, EPS]] == [200] * len(sent) + [400]
        assert opened == []
        (tmp_path / "seen").touch()
        assert opened == [str(tmp_path / "seen")], "the watch is on"
    finally:
        opened = None


def test_a_port_that_is_taken(server, files, capsys):
    words = [str(files["fp32"]), "--no-browser", "--port", str(server.server_port)]
    assert serve.main(words) == BAD_INPUT
    assert "give another --port, or 0 for a free one" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        serve.main([*words[:-1], "65536"])


def test_the_browser_is_opened_at_the_address(files, monkeypatch, capsys):
    addresses = []

    def until_ctrl_c(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setattr(Server, "serve_forever", until_ctrl_c)
    assert serve.main([str(files["fp32"])]) == 130
    assert [capsys.readouterr().out.strip()] == addresses


@contextlib.contextmanager
def interruptible():
    """Children answer Ctrl-C even where this process does not, as in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_command_serves_until_ctrl_c(files, digit, encoded, tmp_path):
    folders = {name: tmp_path / name for name in ("here", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    words = [sys.executable, ROOT / "tflite" / "serve.py", files["int8"], "--no-browser", "--port=0"]
    environment = os.environ | {"TMPDIR": str(folders["temporary"])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with interruptible(), subprocess.Popen(words, cwd=folders["here"], env=environment, **pipes) as process:
        try:
            assert process.stdout.readline() == f"{files['int8'].name}, and {files['fp32'].name} beside it\n"
            address = process.stdout.readline().strip()
            port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)[1]
            connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
            connection.request("POST", "/answers", encoded(digit))
            assert json.loads(connection.getresponse().read())["verdict"] == "int8 and fp32 agree: 7"
            connection.close()
        finally:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "Ctrl-C ends it\ninterrupted\n"
    assert not [file for folder in folders.values() for file in folder.iterdir()]


@pytest.fixture(scope="module")
def chromium():
    spec = importlib.util.spec_from_file_location("browser", ROOT / "docs" / "browser.py")
    browser = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(browser)
    program = browser.find()
    if program is None:
        pytest.skip("needs Chromium: apt install chromium")
    with browser.Chromium(program) as running:
        yield running


def test_in_a_browser(chromium, server, digit, encoded, tmp_path):
    photo, text, large = tmp_path / "a seven.jpg", tmp_path / "text.png", tmp_path / "large.png"
    photo.write_bytes(encoded(digit, "JPEG"))
    text.write_text("not an image")
    with large.open("wb") as file:
        file.truncate(LIMIT + 1)

    chromium.open(server.address, 360, 640)
    chromium.press("Tab")
    assert chromium.script("document.activeElement.id") == "photo"
    chromium.press("Enter")  # opens the file dialogue
    chromium.choose(photo, text)
    chromium.wait("document.querySelectorAll('section').length === 2")
    assert chromium.script("document.activeElement.id") == "photo", "the next photo is one key away"
    assert chromium.script("[...document.querySelectorAll('h2')].map((h) => h.textContent)") == [
        "text.png",
        "a seven.jpg",
    ]
    refused, verdict = (
        chromium.script(f"document.querySelector('{kind}').textContent") for kind in (".error", ".agree")
    )
    assert refused.startswith("expected a photo. Received: 12 bytes, no BMP")
    assert verdict == "int8 and fp32 agree: 7"
    assert chromium.script("document.querySelector('[role=status]').textContent") == f"text.png: {refused}"
    shown = "[...document.querySelectorAll('tbody tr')].map((row) => [...row.children].map((c) => c.innerText))"
    rows = chromium.script(shown)
    expected = answers(server, photo.read_bytes())["files"]
    for place, row in enumerate(rows[:5]):
        guesses = [file["guesses"][place] for file in expected]
        assert [" ".join(cell.split()) for cell in row] == [
            str(place + 1),
            *(f"{guess['label']} {100 * guess['score']:.1f} %" for guess in guesses),
        ]
    assert rows[5][0] == "time" and all(cell.endswith(" ms") for cell in rows[5][1:])
    widths = chromium.script("[...document.querySelectorAll('.bar div')].map((bar) => bar.style.width)")
    assert widths[0] == f"{100 * expected[0]['guesses'][0]['score']:.1f}%"
    for width in (360, 1280):  # nothing sticks out
        chromium.resize(width, 640)
        assert chromium.script("document.documentElement.scrollWidth") <= width

    chromium.drop(photo, 100, 100)
    chromium.wait("document.querySelectorAll('section').length === 3")
    file = "new File([new Uint8Array([1])], 'pasted.png', {type: 'image/png'})"
    pasted = f"const data = new DataTransfer(); data.items.add({file});"
    chromium.script(f"{{{pasted} document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: data}}))}}")
    chromium.wait("document.querySelectorAll('section').length === 4")
    chromium.press("Enter")
    chromium.choose(large)
    chromium.wait("document.querySelectorAll('section').length === 5")
    assert chromium.script("document.querySelector('section p').textContent").startswith(
        "expected a photo of at most 32 MB"
    )
    # An error's status is told on the console as well; anything else would be a mistake of the page.
    assert {re.sub(r"\d+ \(.*\)", "N", text) for text in chromium.complaints} == {
        "Failed to load resource: the server responded with a status of N"
    }
