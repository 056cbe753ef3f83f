"""What the attackers share: their arguments, and how they tell what became of an attempt."""

import errno
import json
import sys


def arguments():
    """The one argument: a JSON object."""
    return json.loads(sys.argv[1])


def tell(**outcome):
    print(json.dumps(outcome), flush=True)


def told(error):
    """An OSError's name, such as EPERM or ECONNREFUSED, or whatever else an exception says."""
    number = getattr(error, "errno", None)
    if isinstance(error, TimeoutError):
        return "timeout"
    return errno.errorcode.get(number, str(error)) if number else str(error)
