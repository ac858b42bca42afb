"""One file per encoder, each with its ``CARD``; a file that is put here is an encoder.

A card is cheap to import: what makes the encoder is imported when it is made.
"""
