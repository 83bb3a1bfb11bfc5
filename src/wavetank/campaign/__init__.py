"""Campaigns: explored tests are searched for hours by several processes, and resumed later.

`driver` runs one pytest session after another. In the processes of a session each test is searched by
several workers (`worker`), which write what they do to files (`protocol`); the driver adds it up, shows
it (`campaign_report`) and saves it (`state`).
"""
