"""Campaigns: explored tests are searched for hours by several processes, and resumed later.

`driver` runs one pytest session after another. In a session (`worker`) each test is searched as
`wavetank.search` does it, in several processes, from the schedule on that the campaign has come to. What
was made is written to a file (`protocol`); the driver adds it up, shows it (`campaign_report`) and saves
it (`state`).
"""
