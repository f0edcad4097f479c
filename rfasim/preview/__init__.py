"""The browser page on which a needle is moved and the zone follows: ``rfasim preview``.

draft.py    the case as the page changes it, with undo
levels.py   how coarse the first answer is, and how fine the second
scene.py    volumes and surfaces to look at
grid.py     voxels
growth.py   when each voxel died
work.py     a solver process: takes cases, streams frames
session.py  one user: draft, solver processes, results
server.py   HTTP and websocket, and who may use them
static/     the page
"""
