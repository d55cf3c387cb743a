"""Where this library keeps files: `$ECS_BLOCK_HOME`, else the folders of the platform."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

HOME_VARIABLE = "ECS_BLOCK_HOME"


def home(kind: Literal["config", "state"]) -> Path:
    """Give the folder for what the user wrote (`config`) or for what runs leave behind (`state`)."""
    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given).expanduser()
    import platformdirs

    folder = platformdirs.user_config_path if kind == "config" else platformdirs.user_state_path
    return folder("ecs_block", appauthor=False)
