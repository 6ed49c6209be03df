"""What is known of each kind of job: how one is rebuilt, and how it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue import codec
from asyncqueue.execution.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.codec import Envelope
    from asyncqueue.execution.plan import Defaults
    from asyncqueue.registry import Registry
    from asyncqueue.services import Services


class Known(msgspec.Struct, frozen=True):
    """How jobs of one registered class are rebuilt and run."""

    decoder: msgspec.msgpack.Decoder[Any]
    plan: Plan


class Kinds:
    """Rebuilds jobs. What there is to know of a class is worked out once."""

    def __init__(
        self,
        registry: Registry,
        defaults: Defaults,
        services: Services,
        middleware: Sequence[Any],
        handler: Callable[[Any], Any] | None,
    ) -> None:
        self._registry = registry
        self._defaults = defaults
        self._services = services
        self._middleware = tuple(middleware)
        self._handler = handler
        self._known: dict[str, Known] = {}
        self._version = -1
        self._plans: dict[Any, Plan] = {}

    def rebuild(self, name: str, envelope: Envelope) -> tuple[Any, Plan]:
        """The job of an envelope, and how it is run.

        Raises UnknownJob, PayloadError, and whatever a factory raises.
        """
        if self._version != self._registry.version:
            self._known.clear()
            self._version = self._registry.version
        known = self._known.get(name) or self._learn(name)
        if known is None:
            job = codec.decode(name, envelope, self._registry)
            return job, self._plan(type(job))
        return codec.fitted(name, known.decoder, envelope.data), known.plan

    def _learn(self, name: str) -> Known | None:
        """What is known of a registered class from now on; None for factories."""
        maker = self._registry.find(name)
        if not codec.is_job_class(maker):
            return None
        known = self._known[name] = Known(codec.shape_of(maker).decoder, self._plan(maker))
        return known

    def _plan(self, cls: Any) -> Plan:
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = Plan(
                cls, self._defaults, self._services, self._middleware, self._handler
            )
        return plan
