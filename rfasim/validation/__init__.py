"""Published experiments as data, and how predictions are held against them, behind ``rfasim validate``."""
