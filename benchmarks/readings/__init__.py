"""How the readings of a frozen encoder compare, and what they cost."""
