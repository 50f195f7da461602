"""Gates, levels and heat ranges read off unlabelled videos: what a model says of sounds that match a frame, and of ones
that do not."""
