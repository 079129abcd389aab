"""The command line of ``chassis.migrations``."""

from chassis.migrations import main

main()
