"""Who asks: from the environment or the keyring, never from the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hoimg.errors import UsageError

USER, PASSWORD, TOKEN = "HOIMG_PACS_USER", "HOIMG_PACS_PASSWORD", "HOIMG_PACS_TOKEN"
"""Environment variables of basic authentication, and of a bearer token."""
SERVICE = "hoimg"
"""The keyring's name of an entry is ``hoimg https://HOST``."""


@dataclass(frozen=True)
class Credentials:
    """A bearer token, or a user and a password, or nothing. Not part of its text form."""

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def any(self) -> bool:
        """Whether there is something to send."""
        return self.token is not None or self.user is not None


def find_credentials(name: str) -> Credentials:
    """What the environment says, else the keyring, where the package ``keyring`` is installed.

    Args:
        name: Scheme, host and port of the archive.

    Raises:
        UsageError: a token beside a password, or a password without a user.
    """
    user, password, token = (os.environ.get(name) or None for name in (USER, PASSWORD, TOKEN))
    if token is not None:
        if password is not None:
            raise UsageError(f"{TOKEN} and {PASSWORD} are both set; unset one")
        if not token.isascii() or any(c.isspace() for c in token):
            raise UsageError(f"{TOKEN} holds blanks or characters that no token has")
        return Credentials(token=token)
    if password is not None:
        if user is None:
            raise UsageError(f"{PASSWORD} is set and {USER} is not")
        return Credentials(user, password)
    return _from_keyring(f"{SERVICE} {name}", user)


def _from_keyring(service: str, user: str | None) -> Credentials:
    try:
        import keyring  # an extra
    except ImportError:
        found = None
    else:
        try:
            found = keyring.get_credential(service, user)
        except Exception:  # a locked or broken keyring is as good as none; its text stays unsaid
            found = None
    if found is not None:
        return Credentials(found.username, found.password)
    if user is not None:
        raise UsageError(
            f"{USER} is set, but neither {PASSWORD} nor an entry '{service}' of the keyring"
        )
    return Credentials()
