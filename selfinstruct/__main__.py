"""`python -m selfinstruct`: the CLI, as `accelerate launch -m` wants it."""

from selfinstruct.cli import main

main()
