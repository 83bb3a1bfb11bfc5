"""Rehearse a program: run it as it is, in virtual time, where every client meets the fake provider."""
