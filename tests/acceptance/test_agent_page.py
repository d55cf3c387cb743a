"""The status page of a running agent, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents import Queues, jobs_cloud, start_agent
from browser import Browser
from test_agent_process import asked, free_port

from conftest import Command
from ecs_block.local import LocalCloud

__all__ = ["jobs_cloud"]  # a fixture


def test_fifty_jobs_on_the_page(
    ecs_block: Command, jobs_cloud: LocalCloud, browser: Browser, eventually: Callable[..., Any], tmp_path: Path
) -> None:
    """It tells what runs, failed and waits, fits a screen and a phone without a script, and asks again by itself."""
    queues, port = Queues(jobs_cloud), free_port()
    jobs = [{"id": f"job-{index}", "name": f"report #{index}", "command": ["sleep", "60"]} for index in range(30)]
    jobs += [{"id": f"bad-{index}", "command": ["sh", "-c", f"exit {index + 1}"]} for index in range(5)]
    jobs += [{"id": f"good-{index}", "name": "<b>bold</b>", "command": ["true"]} for index in range(15)]
    queues.queue.submit_all(jobs)
    queues.sqs.send_message(QueueUrl=queues.url, MessageBody="nonsense")
    agent = start_agent(ecs_block, jobs_cloud, queues.url, "--agent-address", f"127.0.0.1:{port}", "--name", "reports")
    try:

        def all_there() -> bool:
            counts = (asked(port, "/api/status")[1] or {}).get("counts", {})
            return [counts.get(name) for name in ("running", "done", "failed", "rejected")] == [30, 15, 5, 1]

        eventually(all_there, 60)
        for width in (1280, 390):
            with browser.open(f"http://127.0.0.1:{port}/", width=width, script=False) as page:
                text = page.evaluate("document.body.innerText")
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                page.screenshot(tmp_path / f"page-{width}.png")
                for told in ("reports", "polling", "report #29", "bad-4", "exit 5", "<b>bold</b>", "is not valid JSON"):
                    assert told in text, told
                before = len(page.requests)
        with browser.open(f"http://127.0.0.1:{port}/") as page:
            page.evaluate("void (window.kept = 1)")
            deadline = time.monotonic() + 15
            while page.evaluate("window.kept") == 1:
                assert time.monotonic() < deadline, "the page did not ask again"
                time.sleep(0.5)
        assert before == 1  # the page alone: no other file
    finally:
        agent.process.kill()
        agent.end()
