"""A gate that several processes share, in Redis, in Valkey or in a file: docs/sharing.md."""
