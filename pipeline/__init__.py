"""Ratchet: an ML pipeline that only moves forward."""
