"""How good is an encoder? The same protocol for every one, beside plain methods.

:func:`~scypher.encoders.evaluation.run.evaluate` is the verb;
:mod:`~scypher.encoders.evaluation.frame` says what a row holds.
"""
