import sys

from gateway import commands

if len(sys.argv) > 1 and sys.argv[1] in commands.COMMANDS:
    commands.run(sys.argv[1:])
else:
    from gateway.main import service

    service.run()
