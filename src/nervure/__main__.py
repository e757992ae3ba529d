"""``python -m nervure`` is the ``nervure`` command."""

from nervure.cli import main

main()
