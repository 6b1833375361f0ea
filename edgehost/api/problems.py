"""Every error is one problem document (RFC 9457) that says what happened and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Final

from starlette.responses import Response

from edgehost.domain import errors
from edgehost.domain.json_text import MalformedJSONError, tell_json

log = logging.getLogger("edgehost.api")

MEDIA_TYPE: Final = "application/problem+json"

#: The closest entry among an error's classes holds.
STATUS: Final[dict[type[errors.EdgehostError], HTTPStatus]] = {
    errors.EdgehostError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.RefusedError: HTTPStatus.BAD_REQUEST,
    MalformedJSONError: HTTPStatus.BAD_REQUEST,
    errors.InvalidQueryError: HTTPStatus.BAD_REQUEST,
    errors.InvalidRecordError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidSpecificationError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidComponentError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UntrustedReleaseError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.IncompatibleReleaseError: HTTPStatus.CONFLICT,
    errors.QuarantinedReleaseError: HTTPStatus.CONFLICT,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotGrantedError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.RevisionConflictError: HTTPStatus.PRECONDITION_FAILED,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.GuestError: HTTPStatus.BAD_GATEWAY,
    errors.GuestFailedError: HTTPStatus.UNPROCESSABLE_ENTITY,  # the guest refuses, in its own words
    errors.DeadlineExceededError: HTTPStatus.GATEWAY_TIMEOUT,
    errors.CallDepthError: HTTPStatus.LOOP_DETECTED,
    errors.DamagedError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.DeviceError: HTTPStatus.BAD_GATEWAY,
    errors.LineBusyError: HTTPStatus.CONFLICT,
    errors.LineDeniedError: HTTPStatus.FORBIDDEN,
    errors.ChipMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class ApiError(errors.EdgehostError):
    """What only HTTP can get wrong; ``headers`` tell the client more."""

    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    code = "bad-request"

    def __init__(self, message: str, *, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.headers = headers or {}


class UnauthorizedError(ApiError):
    """There is no credential, or not the right one."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthorized"


class ForbiddenError(ApiError):
    """The request comes from somewhere that may not send it."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class MethodNotAllowedError(ApiError):
    """The path is there; the method is not."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method-not-allowed"


class RequestTimeoutError(ApiError):
    """The body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request-timeout"


class BodyTooLargeError(ApiError):
    """The body is larger than this host reads."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "too-large"


class MediaTypeError(ApiError):
    """The body is of a kind that is not understood here."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported-media-type"


class HeadersTooLargeError(ApiError):
    """There are too many headers, or they are too long."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "headers-too-large"


class GoneError(ApiError):
    """What was here elsewhere is not here, for a reason."""

    status = HTTPStatus.GONE
    code = "gone"


class UpgradeRequiredError(ApiError):
    """The path speaks another protocol than HTTP."""

    status = HTTPStatus.UPGRADE_REQUIRED
    code = "upgrade-required"


class InternalError(ApiError):
    """A fault of the host; the log has the details, the client does not."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal"


def status_of(error: errors.EdgehostError) -> HTTPStatus:
    """The status that tells a client what kind of error this is."""
    if isinstance(error, ApiError):
        return error.status
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def reported(error: Exception) -> errors.EdgehostError:
    """The error as a client may know it; a fault of the host goes to the log."""
    if isinstance(error, errors.EdgehostError):
        return error
    log.error("A request failed by a fault of the host.", exc_info=error)
    return InternalError("The host failed at this request.", hint="Its log says more.")


def problem_document(error: errors.EdgehostError) -> dict[str, Any]:
    """The error as a problem document."""
    status = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:edgehost:problem:{error.code}",
        "title": status.phrase,
        "status": status.value,
        "detail": error.message,
        "code": error.code,
    }
    if error.hint:
        document["hint"] = error.hint
    if isinstance(error, errors.InvalidRecordError) and error.problems:
        document["problems"] = [{"pointer": pointer, "detail": detail} for pointer, detail in error.problems]
    return document


def problem_response(error: errors.EdgehostError) -> Response:
    """The error as an HTTP response."""
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, ApiError) else {}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    return Response(problem_bytes(error), status, headers=headers, media_type=MEDIA_TYPE)


def problem_bytes(error: errors.EdgehostError) -> bytes:
    """The problem document as JSON."""
    return tell_json(problem_document(error))
