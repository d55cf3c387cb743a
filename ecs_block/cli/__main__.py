"""`python -m ecs_block.cli` is the command `ecs-block`."""

from ecs_block.cli import main

if __name__ == "__main__":
    main()
