"""`python -m paramcalc` is the same program as `paramcalc`."""

import gc
import os

# Plugins of pydantic are for programs that validate foreign models; looking for them costs a tenth of a cold start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from paramcalc.face.cli.app import main

# A command ends soon and makes few cycles; looking for them every 700 objects is a twelfth of a check of many models.
gc.set_threshold(50_000)

if __name__ == "__main__":
    main()
