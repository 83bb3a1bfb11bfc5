"""Released packages under wavetank, each as one of its users would write it; `make field` runs them all."""
