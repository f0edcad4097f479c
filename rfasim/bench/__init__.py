"""``rfasim bench``: how long things take, beside what accuracy is reached, and whether that has changed.

A row is one thing that is measured (:mod:`rfasim.bench.rows`). Rows run one after the other, in processes of their own
with one thread (:mod:`rfasim.bench.child`); what they take is CPU time, each beside a reference kernel that is timed
before and after it (:mod:`rfasim.bench.clock`), so that a file of rows can be held against another
(:mod:`rfasim.bench.gate`).
"""
