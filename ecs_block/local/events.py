"""The one thread in which all tasks of a cloud live: an asyncio loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class LoopThread:
    """Run coroutines for other threads, in a loop that nobody else uses."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._running: set[asyncio.Task[Any]] = set()
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a coroutine; from inside the loop's thread only."""
        task = self.loop.create_task(work)
        self._running.add(task)  # the loop itself holds only weak references
        task.add_done_callback(self._running.discard)
        return task

    def soon(self, call: Callable[..., object], *args: Any) -> None:
        """Have the loop call something; from any thread."""
        self.loop.call_soon_threadsafe(call, *args)

    def wait_for(self, work: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine in the loop and return its result; from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    async def cancel_all(self) -> None:
        """Cancel every coroutine that was spawned, and wait for their ends."""
        running = [task for task in self._running if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def close(self) -> None:
        """Stop the loop and wait for its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
