"""Every setting, declared once, with the presets and the paths that follow from them."""
