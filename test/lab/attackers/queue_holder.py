"""Holds the first queue of a device's driver by an AF_XDP socket until its standard input ends.

usage: queue_holder.py '{"device": …}'
stdout, once it does: {"holds": true}
"""

import sys

from frames import open_xdp
from report import arguments, tell

held = open_xdp(arguments()["device"])
tell(holds=True)
sys.stdin.read()
