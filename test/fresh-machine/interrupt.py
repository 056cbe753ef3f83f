"""Runs a command as a terminal does and presses Ctrl-C as soon as a path is there: usage: PATH COMMAND..."""

import os
import signal
import subprocess
import sys
import time

path, *command = sys.argv[1:]
child = subprocess.Popen(command, start_new_session=True)
while child.poll() is None and not os.path.lexists(path):
    time.sleep(0.02)
if child.poll() is not None:
    sys.exit(f"{path} never appeared")
os.killpg(child.pid, signal.SIGINT)
sys.exit(child.wait())
