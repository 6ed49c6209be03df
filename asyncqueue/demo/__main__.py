"""``python -m asyncqueue.demo``."""

from asyncqueue.demo.main import main

raise SystemExit(main())
