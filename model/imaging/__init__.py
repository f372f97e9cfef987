"""DICOM, PNG and JPEG bytes to pixels in [0, 1], to the square the encoder takes, and back."""
