"""The pages of Stripe that browsers are sent to."""

from __future__ import annotations

from ..errors import Unavailable
from ..ports.stripe import StripeObject
from .core import Core


def page_url(core: Core, session: StripeObject) -> str:
    """The address of a session's page. Stripe's answer is input too: nobody is sent anywhere but to an https page.

    An account may have a domain of its own for these pages, so the host is not judged; a simulator may be without TLS.
    """
    return safe_url(core, session.get("url"))


def safe_url(core: Core, url: object) -> str:
    """An address that Stripe gave to send a browser to, judged as `page_url` judges that of a session."""
    schemes = ("https://",) if core.livemode else ("https://", "http://")
    if not isinstance(url, str) or not url.startswith(schemes) or not url.isprintable() or " " in url:
        raise Unavailable("Stripe gave no page to go to")
    return url
