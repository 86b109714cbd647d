"""Every setting, declared once, with the presets and paths made of them."""
