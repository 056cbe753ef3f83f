"""certifi as PyPI has it: names a file of Mozilla's roots, whatever the system's store says. Debian's own is patched."""


def where():
    return "/opt/compiled/mozilla.pem"


def contents():
    with open(where(), encoding="ascii") as roots:
        return roots.read()
