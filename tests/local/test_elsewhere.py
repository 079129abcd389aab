import pytest

from regulars import demo
from regulars.elsewhere import Elsewhere
from regulars.trouble import Trouble

KEYS = '{"store_id": "store_1", "api_key": "a", "publishable_key": "p"}'


@pytest.mark.parametrize(
    "printed", [KEYS, f"seed-1  | {KEYS}\n", KEYS.replace('"a"', '"old"') + f"\n\x1b[2Kseed-1  | {KEYS}\n"]
)
def test_keys_are_found_in_what_a_seed_printed(printed):
    assert Elsewhere.at("http://shop.example/", printed) == Elsewhere("http://shop.example", "a", "p")


@pytest.mark.parametrize("printed", ["", "no such service: seed", '{"store_id": "store_1"}', "{"])
def test_no_keys_are_one_sentence(printed):
    with pytest.raises(Trouble, match="--keys holds no JSON"):
        Elsewhere.at("http://shop.example", printed)


@pytest.mark.journeys
def test_the_demo_runs_at_any_gateway(stack, capsys):
    demo.run(Elsewhere(stack.gateway_url, stack.api_key, stack.publishable_key))
    assert "The main job ran end to end" in capsys.readouterr().out


def test_nobody_at_the_gateway_is_one_sentence():
    with pytest.raises(Trouble, match="does not answer"):
        demo.run(Elsewhere("http://127.0.0.1:1", "a", "p"))
