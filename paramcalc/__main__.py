"""`python -m paramcalc` is the same program as `paramcalc`."""

import os

# Plugins of pydantic are for programs that validate foreign models; looking for them costs a tenth of a cold start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from paramcalc.face.cli.app import main

if __name__ == "__main__":
    main()
