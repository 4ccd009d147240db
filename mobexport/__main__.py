"""`python -m mobexport`: the command line without its installed script."""

import sys

from mobexport.cli import main

sys.exit(main())
