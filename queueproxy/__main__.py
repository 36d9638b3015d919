"""`python -m queueproxy`."""

import gc
import sys

gc.disable()  # what is loaded now stays; looking for garbage in it is a tenth of the time to the first request

from queueproxy.main import main  # noqa: E402

gc.freeze()
gc.enable()
sys.exit(main())
