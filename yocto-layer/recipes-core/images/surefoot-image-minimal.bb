SUMMARY = "The smallest image that updates itself"
DESCRIPTION = "A base system with Surefoot in two slots. A start for an image of one's own."
LICENSE = "MIT"

inherit surefoot_image

IMAGE_INSTALL:prepend = "packagegroup-core-boot "
