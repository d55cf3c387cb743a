"""The conversation with AWS: async functions on anyio, one noun of ECS a file. `run.py` is the one to read first."""
