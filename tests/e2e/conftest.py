"""A browser for the tests: headless Chromium over WebDriver, with the standard library alone."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter):
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        terminalreporter.write_line("browser tests: not run (no chromium and chromedriver on the path)")


FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]


class Browser:
    """One WebDriver session."""

    def __init__(self, port, profile):
        self.root = f"http://127.0.0.1:{port}"
        options = {
            "binary": shutil.which("chromium"),
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "perfLoggingPrefs": {"enableNetwork": True},
        }
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.root += f"/session/{answer['sessionId']}"

    def _call(self, method, path, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.root + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path):
        self.log("browser"), self.log("performance")
        self._call("POST", "/url", {"url": Path(path).as_uri()})

    def do(self, script, *arguments):
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def tell(self, command, **params):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def look(self, *, width=1280, height=900, scheme="light"):
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def log(self, kind):
        return self._call("POST", "/se/log", {"type": kind})

    def requests(self):
        """Addresses asked for since the page was opened, other than the page itself and data within it."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        asked = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        assert any(url.startswith("file:") for url in asked), "the log must have seen the page itself"
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]

    def troubles(self):
        return [entry for entry in self.log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def close(self):
        with contextlib.suppress(urllib.error.URLError, OSError):
            self._call("DELETE", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        session = Browser(port, tmp_path_factory.mktemp("profile"))
        yield session
        session.close()
    finally:
        driver.terminate()
        driver.wait(timeout=10)
