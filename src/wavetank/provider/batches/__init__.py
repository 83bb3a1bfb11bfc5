"""What a provider keeps from one request to the next: files, batches and their results.

`batch` has a batch as a plan in time, `service` all that is kept, `endpoint` what a dialect builds its
paths of, and `results` writes what lines are answered.
"""
