"""The errors that the local cloud answers, in AWS's words."""

from __future__ import annotations

from typing import Any


class ServiceError(Exception):
    """An error answer: AWS's code, its message, the HTTP status, and modelled members such as ``resourceIds``."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members

    def body(self) -> dict[str, Any]:
        """Return the JSON of the answer."""
        return {"__type": self.code, "message": self.message, **self.members}


def invalid(message: str) -> ServiceError:
    """Make the error for a parameter that ECS refuses."""
    return ServiceError("InvalidParameterException", message)


def client_error(message: str) -> ServiceError:
    """Make the error that ECS calls the client's own."""
    return ServiceError("ClientException", message)


def throttled() -> ServiceError:
    """Make the error for too many requests."""
    return ServiceError("ThrottlingException", "Rate exceeded")


def unsupported(service: str, operation: str) -> ServiceError:
    """Make the error for an operation that LocalCloud lacks."""
    return ServiceError("UnsupportedFeatureException", f"LocalCloud does not implement {service}:{operation}")
