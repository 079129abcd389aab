"""Addresses of eleven networks by their real checksums, and the hashes of their transactions."""

from pathlib import Path

import pytest
from embit import base58, bech32
from hypothesis import example, given
from hypothesis import strategies as st

from affiliates import addresses

# From the networks' own documents (BIP-173, BIP-350, EIP-55) and explorers.
VALID = {
    "bitcoin": [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    ],
    "litecoin": [
        "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1",
        "MQMcJhpWHYVeQArcZR3sBgyPZxxRtnH441",
        bech32.encode("ltc", 0, range(20)),
        bech32.encode("ltc", 1, range(32)),
    ],
    "tron": ["TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"],
    "ethereum": [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ],
}
UNCHECKED = [
    ("ethereum", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"),
    ("ethereum", "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED"),
    ("solana", "So11111111111111111111111111111111111111112"),
    ("solana", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
]
ALL_VALID = [(network, address) for network, their in VALID.items() for address in their]
ETHEREUM_STYLE = ["ethereum", "polygon", "bsc", "base", "arbitrum", "optimism", "avalanche"]
NETWORKS = [None, "", "Bitcoin", "dogecoin", *addresses.NETWORKS]


@pytest.mark.parametrize(("network", "address"), ALL_VALID + UNCHECKED)
def test_a_real_address_is_taken(network, address):
    assert addresses.check(network, address) == (address.lower() if address[:2] in {"bc", "lt", "0x"} else address)


@pytest.mark.parametrize("network", ETHEREUM_STYLE)
def test_ethereum_style_networks_share_their_addresses(network):
    assert addresses.check(network, VALID["ethereum"][0]) == VALID["ethereum"][0].lower()


@pytest.mark.parametrize(("network", "address"), ALL_VALID)
def test_an_address_belongs_to_one_kind_of_network(network, address):
    others = addresses.NETWORKS.keys() - {network} - (set(ETHEREUM_STYLE) if network == "ethereum" else set())
    # Nobody can tell a Solana key from other base58 but by its length.
    assert [other for other in others if addresses.check(other, address)] == []


@pytest.mark.parametrize(("network", "address"), ALL_VALID)
def test_one_wrong_character_is_found(network, address):
    alphabet = "0123456789abcdefABCDEF" if network == "ethereum" else "0123456789ABCXYZabcqpxyzlI"
    flipped = [
        address[:place] + wrong + address[place + 1 :]
        for place, right in enumerate(address)
        for wrong in {*alphabet, right.swapcase()} - {right}
    ]
    assert [wrong for wrong in flipped if addresses.check(network, wrong)] == []


@pytest.mark.parametrize(("network", "address"), ALL_VALID)
def test_one_character_more_or_less_is_found(network, address):
    wrong = [address[:place] + more + address[place:] for place in range(len(address) + 1) for more in "1qQp0 \n"]
    wrong += [address[:place] + address[place + 1 :] for place in range(len(address))]
    assert [each for each in wrong if addresses.check(network, each)] == []


def test_capitals_of_a_whole_segwit_address_are_the_same_address():
    address = VALID["bitcoin"][2]
    assert addresses.check("bitcoin", address.upper()) == address


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("tron", "TQ2nBylQp1n7hT8t9r3V7A4C6X9K1M2P3Q"),  # the seed's sample
        ("tron", "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb"),  # nobody's
        ("bitcoin", "1111111111111111111114oLvT2"),  # nobody's
        ("bitcoin", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn"),  # testnet
        ("bitcoin", "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc"),  # testnet
        ("bitcoin", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"),  # testnet
        ("bitcoin", "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4"),  # BIP-350: invalid
        ("bitcoin", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh"),  # version 0 in bech32m
        ("bitcoin", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"),  # version 2: anybody could take it
        ("bitcoin", "bc1pfeessrawgf"),  # anybody could take it
        ("bitcoin", bech32.encode("bc", 0, [0] * 20)),
        ("bitcoin", "bc1gmk9yu"),
        ("litecoin", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
        ("ethereum", "0x0000000000000000000000000000000000000000"),
        ("ethereum", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("ethereum", "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
        ("ethereum", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1bea\uff10\uff11"),  # other digits
        ("solana", "11111111111111111111111111111111"),  # the system program
        ("solana", base58.encode(bytes(range(1, 32)))),
        ("solana", base58.encode(bytes(range(1, 34)))),
        ("solana", "0oIl" * 8),
    ],
)
def test_what_is_none_is_refused(network, address):
    assert addresses.check(network, address) is None


@given(
    st.sampled_from(NETWORKS),
    st.one_of(st.text(), st.text("bc1qpzLTM0xf3 ", max_size=120), st.binary().map(base58.encode)),
)
@example("bitcoin", "bc1")
@example("bitcoin", "bc1" + "q" * 6)
@example("bitcoin", "1")
@example("tron", "1" * 100)
@example("solana", "z" * 10_000)
def test_nonsense_is_never_an_error(network, text):
    addresses.check(network, text)
    addresses.check_transaction(network, text)


@given(st.sampled_from(sorted(addresses.NETWORKS)), st.binary(min_size=20, max_size=33))
def test_what_is_taken_compares_with_itself(network, raw):
    for text in (base58.encode(raw), base58.encode_check(raw), f"0x{raw.hex()}"):
        key = addresses.check(network, text)
        assert key is None or addresses.check(network, key) == key


@pytest.mark.parametrize("network", addresses.NETWORKS)
def test_a_transaction_is_one_of_its_network(network):
    digest = "AB" * 32
    forms = {digest, f"0x{digest}", base58.encode(bytes(range(1, 65)))}
    right = {"solana": base58.encode(bytes(range(1, 65)))}.get(
        network, f"0x{digest}" if network in ETHEREUM_STYLE else digest
    )
    assert {form for form in forms if addresses.check_transaction(network, form)} == {right}
    assert addresses.check_transaction(network, right) == (right if network == "solana" else right.lower())
    assert not addresses.check_transaction(network, right[:-1])
    assert not addresses.check_transaction(network, right + "\n")


def test_assets_are_carried_by_their_networks():
    assert addresses.carries("tron", "USDT")
    assert not addresses.carries("bitcoin", "USDT")
    assert not addresses.carries("nowhere", "BTC")
    assert {"BTC", "USDC", "DAI"} <= addresses.ASSETS


def test_the_readme_names_what_there_is():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for network, assets in addresses.NETWORKS.items():
        assert f"{network} ({', '.join(sorted(assets))})" in readme.replace("\n", " ")
