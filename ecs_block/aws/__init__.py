"""Talking to AWS: credentials, sessions and clients, and the one `call` through which every request goes.

What makes requests is imported when it is first used, and boto3 when the first client is made.
"""

from typing import TYPE_CHECKING

from ecs_block.aws.credentials import AwsCredentials
from ecs_block.aws.hidden import hide, read_reference, redactor
from ecs_block.aws.model import input_shape, output_only
from ecs_block.lazy import lazily

if TYPE_CHECKING:
    from ecs_block.aws.call import THREADS, Aws
    from ecs_block.aws.threads import in_a_thread

__all__ = [
    "THREADS",
    "Aws",
    "AwsCredentials",
    "hide",
    "in_a_thread",
    "input_shape",
    "output_only",
    "read_reference",
    "redactor",
]

__getattr__, __dir__ = lazily(__name__, {"THREADS": "call", "Aws": "call", "in_a_thread": "threads"})
