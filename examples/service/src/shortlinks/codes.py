"""Numbers as short codes: base 58, the digits that are not mistaken for one another."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def encode(number: int) -> str:
    """Return the code of a number from 0."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    digits = ""
    while True:
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
        if not number:
            return digits


def decode(code: str) -> int:
    """Return the number of a code; ValueError if it is none."""
    if not code or set(code) - set(ALPHABET):
        raise ValueError(f"{code!r} is no code")
    number = 0
    for digit in code:
        number = number * len(ALPHABET) + ALPHABET.index(digit)
    return number
