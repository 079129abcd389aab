"""``python -m fraud_block --kind api|worker|all``, ``python -m fraud_block verify``."""

from fraud_block.main import service

service.run()
