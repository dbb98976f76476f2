"""Opens a page in headless Chromium, does what a person would do with keyboard and mouse, and takes a picture of it.

python docs/browser.py http://127.0.0.1:8000/ --photo photo.jpg --output docs/serve.png
python docs/browser.py layers.html --width 390 --dark --output layers.png
python docs/browser.py page.html --section 1 --output maps.png
"""

import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage")
PATIENCE = 60  # seconds to wait for anything


class Chromium:
    """A page in a headless Chromium with a profile of its own, closed at the end of a `with`.

    Its DevTools protocol comes through two pipes, as JSON that ends in a zero byte: no port is open meanwhile.

    Args:
        program: Of Chromium, such as `find()` gives.

    Attributes:
        complaints: What the page's console and the browser have complained of.
    """

    def __init__(self, program: str):
        self.complaints: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        its_input, self._output = os.pipe()
        self._input, its_output = os.pipe()
        as_root = ["--no-sandbox"] * (os.geteuid() == 0)
        words = [program, *FLAGS, *as_root, f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{its_input} 4>&{its_output}', "chromium", *words],
            pass_fds=(its_input, its_output),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_input)
        os.close(its_output)
        self._received, self._number, self._session, self._events = b"", 0, None, []

    def __enter__(self) -> "Chromium":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Page.setInterceptFileChooserDialog", enabled=True)
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        return self

    def __exit__(self, *_) -> None:
        os.close(self._output)  # it ends with the pipe
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._input)
        self._profile.cleanup()

    def call(self, method: str, **parameters) -> dict:
        """The result of a command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._output, json.dumps(message).encode() + b"\0")
        answer = self._next(lambda message: message.get("id") == self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def event(self, name: str) -> dict:
        """What the next event of this name, or one that has come already, says."""
        early = next((message for message in self._events if message["method"] == name), None)
        if early:
            self._events.remove(early)
            return early["params"]
        return self._next(lambda message: message.get("method") == name)["params"]

    def open(self, address: str, width: int, height: int, dark: bool = False) -> None:
        """Shows a page in a window of this many pixels."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        failure = self.call("Page.navigate", url=address).get("errorText")
        if failure:
            raise RuntimeError(f"{address}: {failure}")
        self.wait("document.readyState === 'complete'")

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def script(self, expression: str):
        """The value of JavaScript in the page; a promise's once it is kept."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str):
        """The first value of the expression that counts as true."""
        look = f"const look = () => {{ const found = {expression}; found ? done(found) : setTimeout(look, 20); }};"
        return self.script(f"new Promise((done) => {{ {look} look(); }})")

    def press(self, key: str) -> None:
        """A key: `Tab` or `Enter`."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def choose(self, *files: Path) -> None:
        """Answers the file dialogue that the page has opened."""
        chooser = self.event("Page.fileChooserOpened")
        paths = [str(file.resolve()) for file in files]
        self.call("DOM.setFileInputFiles", files=paths, backendNodeId=chooser["backendNodeId"])

    def drop(self, file: Path, x: int, y: int) -> None:
        """Drags a file over a place of the window and lets go."""
        data = {"items": [], "files": [str(file.resolve())], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def picture(self, path: Path, top: float = 0, height: float | None = None) -> None:
        """The page, or that part of it, as PNG."""
        width, bottom = self.script("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": top, "width": width, "height": bottom - top if height is None else height, "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _next(self, wanted) -> dict:
        """The next message that is wanted; events that come before are kept."""
        end = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._received:
                line, _, self._received = self._received.partition(b"\0")
                message = json.loads(line)
                self._note(message)
                if wanted(message):
                    return message
                if "method" in message:
                    self._events.append(message)
            ready, _, _ = select.select([self._input], [], [], max(0, end - time.monotonic()))
            received = os.read(self._input, 1 << 16) if ready else b""
            if not received:
                raise RuntimeError("Chromium has ended" if ready else f"nothing came for {PATIENCE} seconds")
            self._received += received

    def _note(self, message: dict) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"]["text"])
        if message.get("method") == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])


def find() -> str | None:
    """Chromium's program, or `None`."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("address", help="of the page: http://… or a file")
    arguments.add_argument("--photo", type=Path, nargs="*", default=[], help="dropped on the page of `serve`, in turn")
    arguments.add_argument("--width", type=int, default=900, help="pixels of the window")
    arguments.add_argument("--dark", action="store_true")
    part = arguments.add_mutually_exclusive_group()
    part.add_argument("--height", type=int, help="pixels of the picture; by default the whole page")
    part.add_argument(
        "--section", type=int, metavar="N", help="only what is under the page's N-th heading (h2), and it"
    )
    arguments.add_argument("--output", type=Path, required=True, help="the picture, PNG")
    return arguments


def main() -> None:
    args = parser().parse_args()
    program = find()
    if program is None:
        raise SystemExit("expected Chromium: apt install chromium")
    with Chromium(program) as browser:
        file = Path(args.address)
        browser.open(file.resolve().as_uri() if file.is_file() else args.address, args.width, 600, args.dark)
        for number, photo in enumerate(args.photo, 1):
            browser.drop(photo, args.width // 2, 200)
            browser.wait(f"document.querySelectorAll('section').length === {number}")
        browser.resize(args.width, browser.script("Math.ceil(document.body.getBoundingClientRect().bottom)"))
        if args.section is None:
            browser.picture(args.output, height=args.height)
        else:
            tops = browser.script(
                "[...document.querySelectorAll('h2')].map((head) => head.getBoundingClientRect().top)"
            )
            tops = [*tops, browser.script("document.body.getBoundingClientRect().bottom")]
            top = tops[args.section - 1] + 1  # below the line over the heading
            browser.picture(args.output, top, tops[args.section] - top)


if __name__ == "__main__":
    main()
