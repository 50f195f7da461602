"""What every part rests on: steps and results, settings, progress, whole files, maps."""
