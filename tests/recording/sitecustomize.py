"""Python runs this when it starts, in the commands that tests start: a local cloud of theirs writes down what it hears."""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path


class _Finder(importlib.abc.MetaPathFinder):
    """Listens to the gateway as soon as it is imported; most commands never import it."""

    def find_spec(self, name, path, target=None):
        if name != "ecs_block.local.gateway":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def executed(module):
            execute(module)
            sys.modules[name] = module
            from calls import listen, write_down

            listen(write_down)

        spec.loader.exec_module = executed
        return spec


if "ECS_BLOCK_TEST_CALLS" in os.environ:
    sys.path.append(str(Path(__file__).parents[1]))
    sys.meta_path.insert(0, _Finder())
