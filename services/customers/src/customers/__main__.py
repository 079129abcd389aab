"""``python -m customers --kind api|worker|all``, ``python -m customers verify``."""

from customers.main import service

service.run()
