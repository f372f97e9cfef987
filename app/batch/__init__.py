"""Folders of DICOM, PNG and JPEG files: studies in, one folder of results a study out."""
