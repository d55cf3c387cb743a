"""Flows that the tests deploy."""

import os
import time

from prefect import flow, get_run_logger


@flow
def hello(name: str = "world") -> str:
    """Log something, and end."""
    get_run_logger().info("hello, %s, from process %s", name, os.getpid())
    print("hello, stdout")
    return name


@flow
def bad() -> None:
    """Raise."""
    raise RuntimeError("this flow is bad")


@flow
def long(seconds: float = 15) -> None:
    """Take a while."""
    get_run_logger().info("it has begun")
    time.sleep(seconds)
