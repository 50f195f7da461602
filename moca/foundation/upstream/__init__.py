"""The original packages with the same weights as the models here: how far apart they are, and how that is found."""
