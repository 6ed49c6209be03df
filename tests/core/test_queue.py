from __future__ import annotations

import pytest

from asyncqueue import ConfigError, Queue, Settings


@pytest.mark.parametrize("name", ["signing_keys", "encryption_keys"])
def test_keys_that_nothing_would_use_are_refused(name):
    """Whoever sets them relies on them: jobs must not go on unsigned or in the clear."""
    with pytest.raises(ConfigError, match=f"QUEUE_{name.upper()} is set, but"):
        Queue("memory://", settings=Settings(**{name: ("secret",)}))
