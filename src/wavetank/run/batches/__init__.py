"""`wavetank run --batch`: rows are sent through a provider's batch API, at half the price, within a day.

`batch_api` says what every vendor's API can do, and each vendor has a module. `splitting` puts rows into
batches, `batch_http` sends requests, and `batch_run` creates, polls and collects the batches.
"""
