"""The readings that are compared."""

from __future__ import annotations

from moca.foundation.imagebind.reading import PatchReading

REFERENCE = "token"
READINGS: dict[str, PatchReading] = {
    REFERENCE: PatchReading(),
    "value": PatchReading(reading="value"),
    "value2": PatchReading(reading="value2"),
    "clear": PatchReading(reading="clear"),
    "clear, by keys": PatchReading(reading="clear", clear_by="key"),
    "clear, by values": PatchReading(reading="clear", clear_by="value"),
    "proxy": PatchReading(reading="proxy"),
    "proxy, gamma 10": PatchReading(reading="proxy", proxy_gamma=10.0),
    "proxy, beta 1.6, gamma 10": PatchReading(reading="proxy", proxy_beta=1.6, proxy_gamma=10.0),
    "token, high norms replaced": PatchReading(high_norm=2.0),
    "clear, high norms replaced": PatchReading(reading="clear", high_norm=2.0),
    "proxy, high norms replaced": PatchReading(reading="proxy", high_norm=2.0),
}
"""By the name that the tables call them."""
