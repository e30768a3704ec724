"""Run hoimg from a checkout: ``python cli.py …`` is the same as ``hoimg …``."""

from hoimg.cli.main import main

main()  # noqa: E702, I001
