"""Environment variables by which the libraries below learn how many threads they may use."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "BLIS_NUM_THREADS",
)  # fmt: skip
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
"""for a process that shares the machine with others: waiting threads spin, which costs them more than it brings"""
