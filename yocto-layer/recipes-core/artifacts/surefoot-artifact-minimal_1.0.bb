SUMMARY = "An artifact of surefoot-image-minimal, and deltas to it"
DESCRIPTION = "An example of the class surefoot_artifact: several payloads, and deltas from earlier releases."
LICENSE = "MIT"
SRC_URI = ""

inherit surefoot_artifact
