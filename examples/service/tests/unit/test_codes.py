import pytest

from shortlinks import codes


@pytest.mark.parametrize(("number", "code"), [(0, "1"), (57, "z"), (58, "21"), (3363, "zz")])
def test_a_number_has_one_code(number, code):
    assert codes.encode(number) == code
    assert codes.decode(code) == number


def test_every_code_leads_back_to_its_number():
    assert all(codes.decode(codes.encode(number)) == number for number in range(10_000))


@pytest.mark.parametrize("text", ["", "0", "O", "I", "l", "a b", "ä"])
def test_what_is_no_code_is_refused(text):
    with pytest.raises(ValueError, match="is no code"):
        codes.decode(text)
