"""Campaigns: the searches of many explored tests, spread over processes, kept and gone on with.

`driving` starts pytest, which runs each test in `lanes`; they write down what they see, the
driver adds it up, shows it and keeps it.
"""
