"""When a request may start: the gate of each scope, its pace, and the permits of the workers."""
