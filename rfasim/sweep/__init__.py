"""Studies: one case run many times, with what varies, how it is drawn, what is kept, and what it tells.

``study`` reads the study file, ``designs`` draws the runs, ``work`` does one, ``engine`` all of them, ``store`` holds
the rows; ``answers`` and what it draws is made from the rows alone.
"""

from rfasim.sweep.study import Study, load_study

__all__ = ["Study", "load_study"]
