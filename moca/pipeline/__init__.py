"""From a name or a folder to a model that is ready to segment with."""
