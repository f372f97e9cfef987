"""Every error CrossRay raises on purpose.

CrossRayError
├── ImageError              a file cannot become a radiograph's pixels
│   ├── UnsupportedImage    not DICOM, PNG or JPEG at all (an HTML page named .dcm, a text file)
│   ├── UndecodableImage    says it is one of them, but is truncated, corrupt or contradicts itself
│   ├── NotARadiograph      a good file of the wrong kind (CT, color photograph, cine loop)
│   │   └── NotAnImage      no image at all (presentation state, structured report, PDF in DICOM)
│   └── ImageTooLarge       more bytes, pixels, memory or time than the limits allow
├── CheckpointError         a checkpoint folder that is incomplete, altered or of another kind
├── DataError               a prepared folder, study or question that does not say what it must
│   ├── RefusedError        an image that no report should be written on
│   ├── IdentityMismatch    images of different patients or studies given as one study
│   └── UnknownFinding      a question for something that this model has no word of
└── ConfigError             a setting with a value that cannot work

Each message quotes the offending value and says the way out. Messages never hold patient data.
"""

__all__ = [
    "CheckpointError",
    "ConfigError",
    "CrossRayError",
    "DataError",
    "IdentityMismatch",
    "ImageError",
    "ImageTooLarge",
    "NotARadiograph",
    "NotAnImage",
    "RefusedError",
    "UndecodableImage",
    "UnknownFinding",
    "UnsupportedImage",
]


class CrossRayError(Exception):
    """Base of every error CrossRay raises on purpose."""


class ImageError(CrossRayError):
    """A file cannot become a radiograph's pixels."""


class UnsupportedImage(ImageError):
    """The bytes are not DICOM, PNG or JPEG."""


class UndecodableImage(ImageError):
    """The bytes claim a known format but are truncated, corrupt or contradict themselves."""


class NotARadiograph(ImageError):
    """A readable image of the wrong kind: another modality, color, several frames."""


class NotAnImage(NotARadiograph):
    """A DICOM object of a kind that holds no image: a presentation state, a report, a document."""


class ImageTooLarge(ImageError):
    """More bytes, pixels, memory or decoding time than the limits allow."""


class CheckpointError(CrossRayError):
    """A checkpoint folder that is incomplete, altered or of another kind."""


class DataError(CrossRayError):
    """A prepared folder, study or question that does not say what it must."""


class RefusedError(DataError):
    """An image on which no report should be written: blank, or no chest radiograph."""


class IdentityMismatch(DataError):
    """Images of different patients or studies given as one, or a prior that is not earlier."""


class UnknownFinding(DataError):
    """A question for a finding that neither the vocabulary nor the model's words hold."""


class ConfigError(CrossRayError):
    """A setting with a value that cannot work."""
