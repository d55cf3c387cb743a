"""What will be sent to AWS, and what an answer means: values in, values out.

Nothing in this package does anything: no boto3, no clock, no randomness, no logging, no files, no event loop.
"""
