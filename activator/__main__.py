"""`python -m activator`."""

from activator.main import main

main()
