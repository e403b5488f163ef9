"""`python -m paramcalc` is the same program as `paramcalc`."""

from paramcalc.face.cli.app import main

if __name__ == "__main__":
    main()
