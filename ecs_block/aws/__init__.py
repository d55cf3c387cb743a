"""Talking to AWS: credentials, sessions and clients, and the one `call` through which every request goes.

boto3 is imported when the first client is made.
"""

from ecs_block.aws.call import THREADS, Aws
from ecs_block.aws.credentials import AwsCredentials
from ecs_block.aws.hidden import hide, read_reference, redactor
from ecs_block.aws.model import input_shape, output_only
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
