"""Where payouts can go: networks, the assets each carries, and how their addresses and transactions are written. Pure.

Only main networks. Checksums are checked where a network has them; an Ethereum-style address in one case and a Solana
address have none.
"""

import re
from collections.abc import Collection, Mapping

from embit import base58, bech32
from eth_utils.address import is_checksum_address

NETWORKS: Mapping[str, frozenset[str]] = {
    "bitcoin": frozenset({"BTC"}),
    "litecoin": frozenset({"LTC"}),
    "tron": frozenset({"TRX", "USDT"}),  # Circle has ended USDC there
    "solana": frozenset({"SOL", "USDC", "USDT"}),
    "ethereum": frozenset({"ETH", "USDT", "USDC", "DAI"}),
    "polygon": frozenset({"POL", "USDT", "USDC"}),
    "bsc": frozenset({"BNB", "USDT", "USDC"}),
    "base": frozenset({"ETH", "USDC"}),
    "arbitrum": frozenset({"ETH", "USDT", "USDC"}),
    "optimism": frozenset({"ETH", "USDT", "USDC"}),
    "avalanche": frozenset({"AVAX", "USDT", "USDC"}),
}
ASSETS = frozenset().union(*NETWORKS.values())

_BASE58 = re.compile("[1-9A-HJ-NP-Za-km-z]{25,100}")
_ETHEREUM = re.compile("0x[0-9a-fA-F]{40}")
_HASH = re.compile("[0-9a-fA-F]{64}")
_PREFIXED_HASH = re.compile("0x[0-9a-fA-F]{64}")

# What the payload of a base58check address begins with. Litecoin's 3… are Bitcoin's too; the same script is at M….
_VERSIONS = {"bitcoin": (0x00, 0x05), "litecoin": (0x30, 0x32), "tron": (0x41,)}
_SEGWIT = {"bitcoin": "bc", "litecoin": "ltc"}
_HASH160 = 20
_SCRIPT_HASH = 32
_SOLANA_KEY = 32
_SOLANA_SIGNATURE = 64


def carries(network: str, asset: str) -> bool:
    """Whether an asset exists on a network; names as in ``NETWORKS``."""
    return asset in NETWORKS.get(network, ())


def kind(network: str) -> str:
    """The network by which all are known that share its addresses: who has one on Ethereum has it on Polygon."""
    return network if network == "solana" or network in _VERSIONS else "ethereum"


def check(network: str, address: str) -> str | None:
    """The address in the one form that compares, ``None`` when it is none of the network's, or nobody's."""
    if network not in NETWORKS:
        return None
    if network == "solana":
        return address if _is_base58(address, _SOLANA_KEY) else None
    if network not in _VERSIONS:
        return _ethereum(address)
    prefix = _SEGWIT.get(network)
    if prefix is not None and address[: len(prefix) + 1].lower() == f"{prefix}1":
        return address.lower() if _is_segwit(prefix, address) else None
    return address if _is_base58check(address, _VERSIONS[network]) else None


def check_transaction(network: str, transaction: str) -> str | None:
    """A transaction's hash in the one form that compares; ``None`` when it cannot be the network's."""
    if network == "solana":
        return transaction if _is_base58(transaction, _SOLANA_SIGNATURE) else None
    form = _HASH if network in _VERSIONS else _PREFIXED_HASH
    return transaction.lower() if form.fullmatch(transaction) else None


def _ethereum(address: str) -> str | None:
    """EIP-55: capitals are a checksum, unless there are none or nothing else."""
    digits = address[2:]
    if not _ETHEREUM.fullmatch(address) or not int(digits, 16):
        return None
    checked = digits in {digits.lower(), digits.upper()} or is_checksum_address(address)
    return address.lower() if checked else None


def _is_base58(text: str, length: int) -> bool:
    """Whether a text is base58 of so many bytes, written the one way there is."""
    if not _BASE58.fullmatch(text):
        return False
    raw: bytes = base58.decode(text)
    return len(raw) == length and any(raw) and base58.encode(raw) == text


def _is_base58check(address: str, versions: Collection[int]) -> bool:
    if not _BASE58.fullmatch(address):
        return False
    try:
        payload: bytes = base58.decode_check(address)
    except ValueError:
        return False
    return len(payload) == 1 + _HASH160 and payload[0] in versions and any(payload[1:])


def _is_segwit(prefix: str, address: str) -> bool:
    """BIP-173 and BIP-350. What the versions after Taproot mean is not decided, so nobody owns their addresses."""
    version, program = bech32.decode(prefix, address)
    lengths = {0: (_HASH160, _SCRIPT_HASH), 1: (_SCRIPT_HASH,)}.get(version, ())
    return program is not None and len(program) in lengths and any(program)
