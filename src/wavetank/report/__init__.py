"""What a run looks like, made of its event log alone: a page, a trace, a drawing in text, ten sentences."""
