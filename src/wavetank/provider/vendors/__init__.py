"""The vendors: a folder with a card and a wire module each, or one file with a card.

A module `NAME` or `NAME.card` in this package has the card, `CARD`.
"""
