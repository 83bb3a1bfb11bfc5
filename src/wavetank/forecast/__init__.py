"""Forecasts of a batch: how long it will take, what it will cost, and what holds it back."""
