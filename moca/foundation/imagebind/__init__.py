"""ImageBind's image and audio towers."""
